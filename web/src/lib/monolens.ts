import type {
  Attention,
  BackendName,
  EngineStats,
  ImageInfo,
  KvFormat,
  LoadOptions,
  LoadProgress,
  ModelFiles,
  ModelInfo,
  SelfTest,
  Settings,
  TierName,
  WeightFormat,
} from '../engine/contract';
import type {
  ChatEvent,
  DeviceEvent,
  Finished,
  LoadEvent,
  PageMethods,
  Source,
  WorkerMethods,
} from '../engine/messages';
import { type Handlers, Peer } from '../engine/peer';
import type { SourceProgress } from '../sources/http-files';
import { modelFolder } from '../sources/model-url';
import { freeModels, listModels, openModels } from '../sources/opfs-store';
import type { StoredModel } from '../sources/store';
import { cancelled, untilAborted } from './abort';
import { base } from './address';
import { Answer } from './answer';
import { BLOB, demand, FILE, isA, refuse, URL_TEXT, whole } from './checks';
import { asMonolensError, MonolensError } from './errors';
import { checkOptions } from './known';
import { type Message, toWire } from './openai';

/**
 * Where a model is: the URL of its folder (or of its page on huggingface.co), files or a folder that the visitor chose, or
 * anything that reads files.
 */
export type ModelSource = string | URL | FileList | readonly File[] | FileSystemDirectoryHandle | ModelFiles;

export interface Progress extends LoadProgress {
  /** For models from a URL: bytes downloaded, bytes read from the browser's storage instead, and whether the server has to
   * be asked again. It may change while the rest does not. */
  source?: SourceProgress;
}

export interface MonolensOptions {
  /** What it throws is reported as an uncaught error; loading goes on. */
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
  /** Default `auto`: WebGPU where there is a real GPU, else the CPU in wasm. */
  backend?: BackendName;
  /** Keep what is downloaded in the browser's private file system; default `true`. */
  cache?: boolean;
  /** Take a software WebGPU adapter too; for tests. */
  allowSoftware?: boolean;
  /** Capability tier to force. */
  tier?: TierName;
  /** Tokens a conversation may have. */
  context?: number;
  /** Round weights while they are loaded, to save memory. Default: as stored. */
  weights?: WeightFormat;
  /** What keys and values are kept in; in 8 bits a long conversation takes little more than half of what it takes in bf16.
   * Default: bf16, or f32 beside weights in f32. */
  kv?: KvFormat;
}

export interface ChatOptions extends Settings {
  /** Ends the answer with an error of code `cancelled`. To keep what has come, use `answer.stop()`. */
  signal?: AbortSignal;
  /** Everything that happens on the way: progress of the prompt, each token. What it throws is reported as an uncaught
   * error; the answer goes on. */
  onEvent?: (event: ChatEvent) => void;
}

export interface PrepareOptions {
  /** Most tiles the picture is cut into; default: the model's. */
  maxTiles?: number;
  signal?: AbortSignal;
}

export interface AttentionOptions {
  /** The first of the answer's tokens that count; default 0. */
  from?: number;
  /** Behind the last of them; default: the end of the answer. */
  to?: number;
  signal?: AbortSignal;
}

/** A model in a worker of its own. Dispatches `device` events when its GPU is lost and there again. */
export class Monolens extends EventTarget {
  readonly #worker: Worker;
  readonly #peer: Peer<WorkerMethods>;
  #info: ModelInfo | undefined;

  private constructor(files: ModelFiles | undefined) {
    super();
    try {
      this.#worker = new Worker(new URL('../engine/worker.ts', import.meta.url), { type: 'module', name: 'monolens' });
    } catch (error) {
      // From another origin than the page's, or forbidden by the page's security policy.
      throw asMonolensError(error);
    }
    const handlers: Handlers<PageMethods> = {
      size: ({ name }) => required(files).size(name),
      read: ({ name, from, to }) => required(files).read(name, from, to),
      device: (event) => this.#deviceChanged(event),
    };
    this.#peer = new Peer<WorkerMethods>(this.#worker, handlers);
    this.#worker.addEventListener('error', (event) => {
      this.#peer.close(new MonolensError('internal', `the worker failed: ${event.message}`));
    });
  }

  static async load(source: ModelSource, options: MonolensOptions = {}): Promise<Monolens> {
    checkOptions('load', options);
    const { onProgress, signal, cache = true } = options;
    const wire = wireSource(source, cache);
    if (signal?.aborted) throw cancelled(signal);
    const model = new Monolens(wire.kind === 'page' ? (source as ModelFiles) : undefined);
    // Not only passed on: a worker that is busy would hear of it late.
    const abort = () => model.#end('loading was cancelled', signal);
    signal?.addEventListener('abort', abort, { once: true });
    const progress: Progress = { stage: 'files', done: 0, total: 0, name: '' };
    const onEvent = (event: LoadEvent) => {
      if (event.from === 'engine') Object.assign(progress, event.progress);
      else progress.source = event.progress;
      tell(onProgress, { ...progress });
    };
    try {
      const params = { source: wire, options: loadOptions(options) };
      model.#info = await model.#peer.call('load', params, { signal, onEvent });
      return model;
    } catch (error) {
      model.dispose();
      throw asMonolensError(error);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  get info(): ModelInfo {
    return required(this.#info);
  }

  /** Begins an answer to the last message. */
  chat(messages: readonly Message[], options: ChatOptions = {}): Answer {
    return new Answer(async (stop, take) => {
      checkOptions('chat', options);
      const { signal, onEvent, ...settings } = options;
      const params = { messages: await toWire(messages, signal), settings };
      if (signal?.aborted) throw cancelled(signal);
      // Stopped while a picture was fetched: nothing was asked yet.
      if (stop.aborted) return NOTHING_SAID;
      const either = signal ? AbortSignal.any([stop, signal]) : stop;
      const finished = await this.#peer.call('chat', params, {
        signal: either,
        onEvent: (event) => {
          if (signal?.aborted) return;
          take(event);
          tell(onEvent, event);
        },
      });
      if (signal?.aborted) throw cancelled(signal);
      return finished;
    });
  }

  /** Decodes and cuts a picture before it is asked about; asking then does not do it again. */
  async prepare(image: Blob, options: PrepareOptions = {}): Promise<ImageInfo> {
    demand('image', image, BLOB);
    checkOptions('prepare', options);
    const { maxTiles, signal } = options;
    return untilAborted(this.#peer.call('prepare', { image, maxTiles }, { signal }), signal);
  }

  /** Where in the images the answer's tokens `[from, to)` looked, by layer; all of them where none are named. Images are
   * counted over all messages. */
  async attention(
    messages: readonly Message[],
    answerIds: readonly number[],
    options: AttentionOptions = {},
  ): Promise<Attention> {
    demand('answerIds', answerIds, [whole(0)]);
    checkOptions('attention', options);
    const { from = 0, to = answerIds.length, signal } = options;
    const params = { messages: await toWire(messages, signal), answerIds: [...answerIds], from, to };
    return untilAborted(this.#peer.call('attention', params, { signal }), signal);
  }

  /**
   * Runs the small golden model at `url` on this model's very device, because some drivers compute wrongly. Answers may be
   * under way meanwhile.
   */
  async selfTest(url: string | URL, options: { signal?: AbortSignal } = {}): Promise<SelfTest> {
    demand('url', url, URL_TEXT);
    checkOptions('selfTest', options);
    const { signal } = options;
    const params = { url: modelFolder(url, base()) };
    return untilAborted(this.#peer.call('selfTest', params, { signal }), signal);
  }

  stats(): Promise<EngineStats> {
    return this.#peer.call('stats', undefined);
  }

  /** Destroys the GPU device, as a reset of the driver does; the next piece of work opens it anew. */
  loseDevice(): Promise<void> {
    return this.#peer.call('loseDevice', undefined);
  }

  /** Ends the worker and frees all of its memory. */
  dispose(): void {
    this.#end('the model was disposed of');
  }

  /** Models of which something is stored in this browser. */
  static async stored(): Promise<StoredModel[]> {
    const models = await openModels();
    return models ? listModels(models) : [];
  }

  /** Frees what is stored of the model at `url`, as `load` takes it or `stored` gives it, or of all. */
  static async free(url?: string | URL): Promise<void> {
    if (url !== undefined) demand('url', url, URL_TEXT);
    const models = await openModels();
    // Of what was never whole the address may not be known: it is ''.
    if (models) await freeModels(models, url && modelFolder(url, base()));
  }

  #end(why: string, signal?: AbortSignal): void {
    this.#peer.close(new MonolensError('cancelled', why, signal && { cause: signal.reason }));
    this.#worker.terminate();
  }

  #deviceChanged(event: DeviceEvent): void {
    if (event.type === 'recovered' && this.#info) this.#info = { ...this.#info, device: event.device };
    this.dispatchEvent(new CustomEvent<DeviceEvent>('device', { detail: event }));
  }
}

const SOURCE = 'a URL, files, a folder, or an object with size() and read()';

const NOTHING_SAID: Finished = {
  type: 'finished',
  reason: 'stopped',
  text: '',
  stats: {
    promptTokens: 0,
    visualTokens: 0,
    reusedTokens: 0,
    prefilledTokens: 0,
    tilesEncoded: 0,
    generatedTokens: 0,
    timeToFirstToken: 0,
    decodeSeconds: 0,
  },
  grounding: [],
};

function wireSource(source: ModelSource, cache: boolean): Source {
  if (typeof source === 'string' || source instanceof URL) {
    return { kind: 'url', url: modelFolder(source, base()), cache };
  }
  if (Array.isArray(source) || isA(source, 'FileList')) {
    const files = [...(source as readonly File[])];
    demand('source', files, [FILE]);
    return { kind: 'files', files };
  }
  if (typeof source !== 'object' || source === null) refuse('source', SOURCE, source);
  if ('getFileHandle' in source) return { kind: 'directory', directory: source };
  const { size, read } = source as Partial<ModelFiles>;
  if (typeof size === 'function' && typeof read === 'function') return { kind: 'page' };
  refuse('source', SOURCE, source);
}

/** The engine's part of the options; only plain data may cross to the worker. */
function loadOptions({ backend = 'auto', allowSoftware, tier, context, weights, kv }: MonolensOptions): LoadOptions {
  return {
    backend,
    ...(allowSoftware === undefined ? {} : { allowSoftware }),
    ...(tier === undefined ? {} : { tier }),
    ...(context === undefined ? {} : { context }),
    ...(weights === undefined ? {} : { weights }),
    ...(kv === undefined ? {} : { kv }),
  };
}

/** Tells a listener of the caller's, whose own error is not ours. */
function tell<E>(listener: ((event: E) => void) | undefined, event: E): void {
  try {
    listener?.(event);
  } catch (error) {
    reportError(error);
  }
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new MonolensError('internal', 'used before it was there');
  return value;
}
