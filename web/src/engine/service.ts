import { asMonolensError, codeOf, MonolensError } from '../lib/errors';
import type { SourceProgress } from '../sources/http-files';
import type { AnswerEvent, Attention, ChatMessage, LoadProgress, ModelInfo, WasmEngine, WasmModule } from './contract';
import { ImageCache } from './image-cache';
import type {
  AttentionParams,
  ChatEvent,
  ChatParams,
  Finished,
  LoadEvent,
  LoadParams,
  PageMethods,
  WireMessage,
  WorkerMethods,
} from './messages';
import { type OpenSource, openSource } from './open-source';
import type { CallContext, Handlers, Peer } from './peer';
import { Throttled } from './throttled';

/** A device that is lost this often during one piece of work will not do it. */
const MOST_RECOVERIES = 3;

interface Loaded {
  engine: WasmEngine;
  images: ImageCache;
  recovering: Promise<void> | undefined;
}

/** What the worker does for the page: it owns the engine, and brings it back when its device is lost. */
export class Service {
  #loaded: Loaded | undefined;
  #page: Peer<PageMethods> | undefined;

  constructor(private readonly module: Promise<WasmModule>) {}

  /** The other side of the port. Called once, before anything is asked. */
  connect(page: Peer<PageMethods>): void {
    this.#page = page;
  }

  readonly handlers: Handlers<WorkerMethods> = {
    load: (params, context) => this.#load(params, context),
    chat: (params, context) => this.#chat(params, context),
    prepare: async (image) => {
      const [info] = await this.#get().images.addAll([image]);
      if (!info) throw new MonolensError('internal', 'no image');
      return info;
    },
    attention: (params) => this.#attention(params),
    info: () => this.#get().engine.info(),
    stats: () => this.#get().engine.stats(),
    selfTest: async ({ url }) => {
      const { engine } = this.#get();
      const open = await openSource({ kind: 'url', url, cache: false }, this.#peer(), () => undefined);
      try {
        return await engine.selfTest(open.files);
      } catch (error) {
        throw cause(error, open);
      }
    },
    loseDevice: () => this.#get().engine.loseDevice(),
  };

  async #load({ source, options }: LoadParams, { signal, emit }: CallContext<LoadEvent>): Promise<ModelInfo> {
    this.#loaded?.engine.free();
    this.#loaded = undefined;
    const sourceProgress = new Throttled<SourceProgress>(
      (progress) => emit({ from: 'source', progress }),
      JSON.stringify,
      ({ retry }) => retry === undefined,
    );
    const engineProgress = ofLoading((progress) => {
      // What was read comes before what became of it: the end of a stage is the last that is told of it.
      sourceProgress.flush();
      emit({ from: 'engine', progress });
    });
    const open = await openSource(source, this.#peer(), (progress) => sourceProgress.take(progress));
    open.setSignal(signal);
    try {
      if ((await open.files.size('config.json')) === undefined) {
        throw new MonolensError('not-found', 'there is no config.json: this is not the folder of a model');
      }
      const module = await this.module;
      const engine = await module.load(open.files, options, (progress) => {
        engineProgress.take(progress);
        return !signal.aborted;
      });
      this.#loaded = { engine, images: new ImageCache(engine), recovering: undefined };
      return engine.info();
    } catch (error) {
      throw cause(error, open);
    } finally {
      open.setSignal(undefined);
    }
  }

  async #chat({ messages, settings }: ChatParams, { signal, emit }: CallContext<ChatEvent>): Promise<Finished> {
    const loaded = this.#get();
    const { engine } = loaded;
    const { chat, ids } = await this.#named(loaded, messages);
    const { request, segments } = engine.submit(chat, settings);
    const place = placesOf(ids);
    emit({
      type: 'submitted',
      segments: segments.map((s) => (s.image === undefined ? s : { ...s, image: place(s.image) })),
    });
    const stop = () => engine.stop(request);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    let finished: Finished | undefined;
    try {
      for (;;) {
        const event: AnswerEvent | undefined = await this.#recovering(loaded, () => engine.next(request));
        if (!event) break;
        if (event.type === 'finished') finished = event;
        else emit(event);
      }
    } catch (error) {
      engine.stop(request);
      throw error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
    if (!finished) throw new MonolensError('internal', 'the answer ended without an end');
    return finished;
  }

  async #attention({ messages, answerIds, from, to }: AttentionParams): Promise<Attention> {
    const loaded = this.#get();
    const { chat, ids } = await this.#named(loaded, messages);
    const attention = await this.#recovering(loaded, () => loaded.engine.attention(chat, answerIds, from, to));
    const place = placesOf(ids);
    return { ...attention, images: attention.images.map((image) => ({ ...image, image: place(image.image) })) };
  }

  /** Messages with the engine's images, and those images in order. */
  async #named(loaded: Loaded, messages: WireMessage[]): Promise<{ chat: ChatMessage[]; ids: number[] }> {
    const infos = await loaded.images.addAll(messages.flatMap((message) => message.images));
    const ids = infos.map((info) => info.id);
    let at = 0;
    const chat = messages.map(({ images, ...message }) => {
      const own = ids.slice(at, at + images.length);
      at += images.length;
      return { ...message, images: own };
    });
    return { chat, ids };
  }

  /** Does `work`; where the device is lost meanwhile, opens it anew and goes on. */
  async #recovering<T>(loaded: Loaded, work: () => Promise<T>): Promise<T> {
    for (let recoveries = 0; ; recoveries++) {
      try {
        return await work();
      } catch (error) {
        if (codeOf(error) !== 'device-lost' || recoveries === MOST_RECOVERIES) throw error;
        // One recovery serves everything that was under way.
        loaded.recovering ??= this.#recover(loaded, asMonolensError(error).message).finally(() => {
          loaded.recovering = undefined;
        });
        await loaded.recovering;
      }
    }
  }

  async #recover({ engine }: Loaded, message: string): Promise<void> {
    const page = this.#peer();
    await page.call('device', { type: 'lost', message });
    const recovering = ofLoading((progress) => void page.call('device', { type: 'recovering', progress }));
    await engine.recover((progress) => {
      recovering.take(progress);
      return true;
    });
    await page.call('device', { type: 'recovered', device: engine.info().device });
  }

  #get(): Loaded {
    if (!this.#loaded) throw new MonolensError('bad-request', 'no model is loaded');
    return this.#loaded;
  }

  #peer(): Peer<PageMethods> {
    if (!this.#page) throw new MonolensError('internal', 'the service is not connected');
    return this.#page;
  }
}

/** The source's own error where the engine only says that a read failed. */
function cause(error: unknown, open: OpenSource): unknown {
  return codeOf(error) === 'read-failed' ? (open.lastError() ?? error) : error;
}

/** Weights come in very many pieces; of those only now and then one, but the first and the last. */
function ofLoading(tell: (progress: LoadProgress) => void): Throttled<LoadProgress> {
  return new Throttled<LoadProgress>(
    tell,
    ({ stage, done, total }) => `${stage} ${done} ${total}`,
    ({ stage, done, total }) => stage === 'weights' && done > 0 && done < total,
  );
}

/** From an engine's image to its place in the request. A picture that is there twice is named twice, in order. */
function placesOf(ids: number[]): (id: number) => number {
  const next = new Map<number, number>();
  return (id) => {
    const found = ids.indexOf(id, next.get(id) ?? 0);
    const place = found < 0 ? ids.lastIndexOf(id) : found;
    next.set(id, place + 1);
    return place;
  };
}
