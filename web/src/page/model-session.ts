/** The model at hand: loads it, tests it, tells what happens to its device. */
import {
  type BackendName,
  type KvFormat,
  type ModelSource,
  Monolens,
  type MonolensOptions,
  type Progress,
  type SourceProgress,
  type WeightFormat,
} from '../lib';
import { codeOf } from '../lib/errors';
import { checkReachable } from './base/address';
import { byId, h } from './base/dom';
import { explain } from './base/explain';
import { bytes, plural } from './base/format';
import { textButton } from './base/icons';
import { notify, withDetails, withdraw, withdrawLater } from './base/notices';
import { SELF_TEST } from './base/params';
import { BUNDLED, BUNDLED_NAME, isBundled } from './bundled';
import type { SavedModel } from './chat/saved';
import type { SelfTestState } from './inspector/figures';
import { LoadStatus } from './load-status';
import { gpuHelp } from './no-gpu';

/** How long good news stays. */
const GOOD_NEWS_MS = 8000;

/** How a model is to be run. */
export interface How {
  backend: BackendName;
  /** What weights are rounded to while they are loaded; none: as stored. */
  weights: WeightFormat | undefined;
  /** What keys and values are kept in; none: as the model has it. */
  kv: KvFormat | undefined;
}

/** A model that could be loaded, and how. */
interface Choice {
  source: ModelSource;
  how: How;
  /** Loaded until the remembered one can be: it does not take its place for the next visit. */
  standsIn?: boolean;
}

export interface SessionHost {
  loaded(model: Monolens): void;
  unloaded(): void;
  selfTest(state: SelfTestState): void;
  say(text: string): void;
  /** Lets the visitor choose a folder of this computer. */
  chooseFolder(): void;
}

export class ModelSession {
  model: Monolens | undefined;
  how: How;
  /** For the next visit. */
  remembered: SavedModel;

  /** The model that works, or that did before another one took its room: it comes back where that one fails. */
  #last: Choice | undefined;
  /** Tokens a conversation may have, where the page's address asks for so many. */
  #context: number | undefined;
  #status = new LoadStatus();
  #loading: AbortController | undefined;
  #name = byId('model-name');

  constructor(
    private readonly host: SessionHost,
    private readonly options: MonolensOptions,
    private readonly withSelfTest: boolean,
  ) {
    const { backend = 'auto', weights, kv, context } = options;
    this.#context = context;
    this.how = { backend, weights, kv };
  }

  /** Where the model at hand came from. */
  get source(): ModelSource | undefined {
    return this.model && this.#last?.source;
  }

  /** Loads what the last visit had; a folder may need the visitor's leave first, and until then `otherwise` is loaded. */
  async loadRemembered(otherwise: string): Promise<void> {
    const { remembered } = this;
    if (remembered === undefined || typeof remembered === 'string') return this.load(remembered ?? otherwise);
    const standIn = { source: otherwise, how: this.how, standsIn: true };
    if (!isFolder(remembered)) {
      const text = `Last time the model came from "${remembered.folder}" on this computer. This browser cannot open it again by itself.`;
      notify(
        'folder',
        'info',
        text,
        textButton('folder', 'Choose the folder again', () => this.host.chooseFolder()),
      );
      return this.#load(standIn, true);
    }
    const folder: PermittedFolder = remembered;
    if ((await folder.queryPermission?.({ mode: 'read' })) === 'granted') return this.load(folder);
    const again = async () => {
      if ((await folder.requestPermission?.({ mode: 'read' })) !== 'granted') return;
      withdraw('folder');
      await this.load(folder);
    };
    const button = textButton('folder', `Open "${folder.name}" again`, () => void again());
    notify('folder', 'info', 'Last time the model came from a folder on this computer.', button);
    return this.#load(standIn, true);
  }

  /**
   * Loads a model. The one at hand goes on answering while the new one's files are looked at, and is let go only when
   * weights are about to take its memory; where the new one fails after that, the old one is loaded again.
   */
  async load(source: ModelSource, how = this.how): Promise<void> {
    this.#status.clear();
    await this.#load({ source, how }, true);
  }

  async #load(choice: Choice, mayFallBack: boolean): Promise<void> {
    this.#loading?.abort();
    const loading = new AbortController();
    this.#loading = loading;
    const { source, how } = choice;
    const name = nameOf(source);
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      this.#release();
      this.#name.textContent = name;
    };
    if (!this.model) release();
    this.#status.begin(name, () => loading.abort());
    this.host.say(`Loading ${name}.`);
    let last: SourceProgress | undefined;
    try {
      const onProgress = (progress: Progress) => {
        if (loading.signal.aborted) return;
        if (progress.stage !== 'files') release();
        last = progress.source;
        this.#status.progress(progress);
      };
      if (typeof source === 'string' || source instanceof URL) checkReachable(source);
      const { weights, kv, context, ...given } = this.options;
      const room = this.#context === undefined ? {} : { context: this.#context };
      const options = { ...given, ...room, ...defined(how), signal: loading.signal, onProgress };
      const model = await Monolens.load(source, options);
      if (loading.signal.aborted) {
        model.dispose();
        return;
      }
      release();
      this.#status.done();
      this.#loaded(model, choice, last);
    } catch (error) {
      // A newer load has taken over the page.
      if (this.#loading === loading) await this.#failed(error, choice, mayFallBack);
    }
  }

  /** Lets the model at hand go. */
  #release(): void {
    for (const id of ['gpu', 'storage', 'repaired', 'self-test', 'device']) withdraw(id);
    if (!this.model) return;
    this.model.dispose();
    this.model = undefined;
    this.host.unloaded();
  }

  #loaded(model: Monolens, choice: Choice, progress: SourceProgress | undefined): void {
    const { source, how, standsIn } = choice;
    this.model = model;
    this.how = how;
    this.#last = choice;
    if (!standsIn) {
      this.remembered = toRemember(source);
      withdraw('folder');
    }
    const { info } = model;
    // The folder's name: two models of one architecture are not the same.
    const name = nameOf(source);
    this.#name.textContent = name;
    this.#name.title = info.name;
    model.addEventListener('device', (event) => this.#device(event as CustomEvent));
    if (info.device.kind === 'cpu' && how.backend === 'auto') notify('gpu', 'info', gpuHelp(info.device.reason));
    if (progress) this.#tellStorage(progress);
    this.host.loaded(model);
    this.host.say(`${name} is ready on ${info.device.name}.`);
    void this.#selfTest(model);
  }

  async #failed(error: unknown, choice: Choice, mayFallBack: boolean): Promise<void> {
    const retry = this.#retry(error, choice);
    const explained = explain(error, this.#mayBeTheContext(error) ? 'loading with a wished context' : 'loading');
    const last = this.#last;
    if (this.model && last) {
      const name = nameOf(last.source);
      this.#status.failed(explained, `${name} is still here.`, [...retry, this.#dismiss()]);
      this.host.say(`${name} is still here.`);
      return;
    }
    if (mayFallBack && last && last !== choice) {
      const name = nameOf(last.source);
      this.#status.failed(explained, `${name} is loaded again.`, [...retry, this.#dismiss()]);
      this.host.say(`${name} is loaded again.`);
      await this.#load(last, false);
      return;
    }
    this.how = choice.how;
    this.#name.textContent = 'no model';
    this.#name.title = '';
    this.host.say('No model is loaded.');
    const auto: How = { backend: 'auto', weights: undefined, kv: undefined };
    const useBundled = () => {
      this.#context = undefined;
      void this.load(BUNDLED, auto);
    };
    const bundled = textButton('box', `Use ${BUNDLED_NAME}`, useBundled);
    const own = isBundled(choice.source) && choice.how.backend === 'auto';
    this.#status.failed(explained, '', own ? retry : [...retry, bundled]);
  }

  /** Ways to try once more what failed. */
  #retry(error: unknown, { source, how }: Choice): HTMLElement[] {
    const again = (label: string, changed: How) =>
      textButton('retry', label, () => void this.load(source, changed), 'primary');
    if (this.#mayBeTheContext(error)) {
      const withItsOwn = () => {
        this.#context = undefined;
        void this.load(source, how);
      };
      return [textButton('retry', "Try with the model's own context", withItsOwn, 'primary')];
    }
    if (codeOf(error) !== 'out-of-memory' || how.weights === '4bit') return [again('Try again', how)];
    return [again('Try with 4 bits', { ...how, weights: '4bit', kv: '8bit' })];
  }

  /** Whether it may fail only because the page's address asks for so many tokens. */
  #mayBeTheContext(error: unknown): boolean {
    return this.#context !== undefined && ['out-of-memory', 'bad-request'].includes(codeOf(error));
  }

  #dismiss(): HTMLElement {
    return textButton('close', 'Dismiss', () => this.#status.clear());
  }

  #tellStorage({ caching, repaired, downloaded }: SourceProgress): void {
    if (repaired > 0) {
      notify(
        'repaired',
        'warning',
        `${plural(repaired, 'stored piece')} of the model had been damaged and was fetched again.`,
      );
    }
    // Where nothing was downloaded nothing had to be stored.
    if (downloaded === 0 || caching === 'on') return;
    const size = bytes(downloaded);
    const why =
      caching === 'full'
        ? 'There is no room left in this browser to store it all. Free other models under Model, or space on the disk.'
        : 'This browser does not let the page store it (a private window, or a page without https).';
    notify('storage', 'info', withDetails(`The model works, but ${size} will be downloaded again next time.`, why));
  }

  async #selfTest(model: Monolens): Promise<void> {
    if (!this.withSelfTest) {
      this.host.selfTest({ text: 'switched off' });
      return;
    }
    this.host.selfTest({ text: 'running' });
    let state: SelfTestState;
    try {
      const result = await model.selfTest(SELF_TEST);
      // Another model may have taken its place.
      if (this.model !== model) return;
      state = { result };
      if (!result.ok) {
        const wrong = result.cases.filter(({ expected, got }) => expected.join() !== got.join());
        const cases = wrong.map(({ name, expected, got }) =>
          h('li', { text: `${name}: expected ${expected.join(' ')}, got ${got.join(' ')}` }),
        );
        const advice =
          model.info.device.kind === 'cpu'
            ? 'try another browser.'
            : 'update the graphics driver, or choose "CPU" under Model.';
        notify(
          'self-test',
          'error',
          h('strong', { text: 'This device computes wrongly.' }),
          ` Answers here are not to be trusted; ${advice}`,
          withDetails(
            'Details',
            `The self-test on ${result.device} gave other tokens than the reference.`,
            h('ul', {}, ...cases),
          ),
        );
      }
    } catch (error) {
      if (this.model !== model) return;
      state = {
        text: codeOf(error) === 'not-found' ? 'not on this server' : `could not be run: ${explain(error).detail}`,
      };
    }
    this.host.selfTest(state);
  }

  #device({ detail }: CustomEvent): void {
    if (detail.type === 'lost') {
      notify('device', 'warning', 'The GPU was reset. Opening it again; the conversation goes on.');
    } else if (detail.type === 'recovering') {
      const { stage, done, total } = detail.progress;
      const text = stage === 'weights' ? `${bytes(done)} of ${bytes(total)}` : stage;
      notify('device', 'warning', `The GPU was reset. Loading the model again: ${text}`);
    } else {
      notify('device', 'info', 'The GPU is back. The conversation goes on.');
      // It is another device, and the test of the old one may have been cut short.
      if (this.model) void this.#selfTest(this.model);
      withdrawLater('device', GOOD_NEWS_MS);
    }
  }
}

/** Chromium's way to ask for a folder of an earlier visit. */
type PermittedFolder = FileSystemDirectoryHandle & {
  queryPermission?(wish: { mode: 'read' }): Promise<PermissionState>;
  requestPermission?(wish: { mode: 'read' }): Promise<PermissionState>;
};

function isFolder(source: ModelSource | SavedModel): source is FileSystemDirectoryHandle {
  return typeof source === 'object' && 'getFileHandle' in source;
}

/** What can be told of a source on the next visit. */
function toRemember(source: ModelSource): SavedModel {
  if (source instanceof URL) return source.href;
  return typeof source === 'string' || isFolder(source) ? source : { folder: nameOf(source) };
}

/** The part of the library's options that was chosen. */
function defined({ backend, weights, kv }: How): Pick<MonolensOptions, 'backend' | 'weights' | 'kv'> {
  return { backend, ...(weights ? { weights } : {}), ...(kv ? { kv } : {}) };
}

/** The name that a source goes by. */
export function nameOf(source: ModelSource): string {
  if (typeof source === 'string' || source instanceof URL) {
    const parts =
      String(source)
        .split(/[?#]/)[0]
        ?.split('/')
        .filter((part) => part !== '') ?? [];
    const at = parts.indexOf('resolve');
    return (at > 0 ? parts[at - 1] : parts.at(-1)) ?? String(source);
  }
  if (Array.isArray(source)) return source[0]?.webkitRelativePath?.split('/')[0] || 'chosen files';
  return 'name' in source ? source.name : 'chosen files';
}
