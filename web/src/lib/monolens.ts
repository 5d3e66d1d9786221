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
import type { ChatEvent, DeviceEvent, LoadEvent, PageMethods, Source, WorkerMethods } from '../engine/messages';
import { type Handlers, Peer } from '../engine/peer';
import type { SourceProgress } from '../sources/http-files';
import { modelFolder } from '../sources/model-url';
import { freeModels, listModels, openModels } from '../sources/opfs-store';
import type { StoredModel } from '../sources/store';
import { cancelled, untilAborted } from './abort';
import { Answer } from './answer';
import { asMonolensError, MonolensError } from './errors';
import { checkLoadOptions, checkSettings } from './known';
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
  /** Everything that happens on the way: progress of the prompt, each token. */
  onEvent?: (event: ChatEvent) => void;
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
    checkLoadOptions(options);
    const { onProgress, signal, cache = true } = options;
    const wire = wireSource(source, cache);
    const model = new Monolens(wire.kind === 'page' ? (source as ModelFiles) : undefined);
    // Not only passed on: a worker that is busy would hear of it late.
    const abort = () => model.#end('loading was cancelled');
    signal?.addEventListener('abort', abort, { once: true });
    const progress: Progress = { stage: 'files', done: 0, total: 0, name: '' };
    const onEvent = (event: LoadEvent) => {
      if (event.from === 'engine') Object.assign(progress, event.progress);
      else progress.source = event.progress;
      onProgress?.({ ...progress });
    };
    try {
      const params = { source: wire, options: loadOptions(options) };
      model.#info = await model.#peer.call('load', params, { signal, onEvent });
      return model;
    } catch (error) {
      model.dispose();
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  get info(): ModelInfo {
    return required(this.#info);
  }

  /** Begins an answer to the last message. */
  chat(messages: readonly Message[], options: ChatOptions = {}): Answer {
    const { signal, onEvent, ...settings } = options;
    return new Answer(async (stop, take) => {
      if (signal?.aborted) throw cancelled();
      checkSettings(settings);
      const params = { messages: await toWire(messages, signal), settings };
      const either = signal ? AbortSignal.any([stop, signal]) : stop;
      const finished = await this.#peer.call('chat', params, {
        signal: either,
        onEvent: (event) => {
          if (signal?.aborted) return;
          take(event);
          onEvent?.(event);
        },
      });
      if (signal?.aborted) throw cancelled();
      return finished;
    });
  }

  /** Decodes and cuts a picture before it is asked about; asking then does not do it again. */
  prepare(image: Blob, { maxTiles, signal }: { maxTiles?: number; signal?: AbortSignal } = {}): Promise<ImageInfo> {
    return untilAborted(this.#peer.call('prepare', { image, maxTiles }, { signal }), signal);
  }

  /** Where in the images the answer's tokens `[from, to)` looked, by layer. Images are counted over all messages. */
  async attention(
    messages: readonly Message[],
    answerIds: readonly number[],
    { from, to, signal }: { from: number; to: number; signal?: AbortSignal },
  ): Promise<Attention> {
    const params = { messages: await toWire(messages, signal), answerIds: [...answerIds], from, to };
    return untilAborted(this.#peer.call('attention', params, { signal }), signal);
  }

  /**
   * Runs the small golden model at `url` on this model's very device, because some drivers compute wrongly. Answers may be
   * under way meanwhile.
   */
  async selfTest(url: string | URL, { signal }: { signal?: AbortSignal } = {}): Promise<SelfTest> {
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

  /** Frees what is stored of the model at `url`, or of all. */
  static async free(url?: string): Promise<void> {
    const models = await openModels();
    if (models) await freeModels(models, url);
  }

  #end(why: string): void {
    this.#peer.close(new MonolensError('cancelled', why));
    this.#worker.terminate();
  }

  #deviceChanged(event: DeviceEvent): void {
    if (event.type === 'recovered' && this.#info) this.#info = { ...this.#info, device: event.device };
    this.dispatchEvent(new CustomEvent<DeviceEvent>('device', { detail: event }));
  }
}

function wireSource(source: ModelSource, cache: boolean): Source {
  if (typeof source === 'string' || source instanceof URL) {
    return { kind: 'url', url: modelFolder(source, base()), cache };
  }
  if (Array.isArray(source) || (typeof FileList !== 'undefined' && source instanceof FileList))
    return { kind: 'files', files: [...source] };
  // JavaScript hands over anything.
  if (typeof source !== 'object' || source === null) throw new MonolensError('bad-request', `"${source}" is no model`);
  if ('getFileHandle' in source) return { kind: 'directory', directory: source };
  const { size, read } = source as Partial<ModelFiles>;
  if (typeof size === 'function' && typeof read === 'function') return { kind: 'page' };
  throw new MonolensError('bad-request', 'a model is a URL, files, a folder, or an object with size() and read()');
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

/** What relative addresses are relative to, also where the library itself runs in a worker. */
function base(): string {
  return typeof document === 'undefined' ? location.href : document.baseURI;
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new MonolensError('internal', 'used before it was there');
  return value;
}
