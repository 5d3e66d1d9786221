/** An engine that computes nothing: the contract's shape for unit tests and for work on the page without Rust. */
import type {
  AnswerEvent,
  Attention,
  ChatMessage,
  EngineStats,
  ImageInfo,
  LoadOptions,
  LoadProgress,
  ModelFiles,
  ModelInfo,
  OnProgress,
  Segment,
  SelfTest,
  Settings,
  Submitted,
  WasmEngine,
} from '../src/engine/contract';

const LAYERS = 6;
const PAUSE = 25;

export class FakeError extends Error {
  constructor(
    readonly code: string,
    message = code,
  ) {
    super(message);
  }
}

interface Request {
  events: AnswerEvent[];
  stopped: boolean;
}

export class FakeEngine implements WasmEngine {
  /** Bytes of every `addImage`, to count decodings. */
  decoded: Uint8Array[] = [];
  removed: number[] = [];
  recoveries = 0;
  lost = false;
  freed = false;
  #requests = new Map<number, Request>();
  #next = 1;

  info(): ModelInfo {
    return {
      name: 'fake',
      parameters: 7_800_000,
      layers: LAYERS,
      context: 1024,
      tileSize: 64,
      tokensPerTile: 16,
      maxTiles: 12,
      useThumbnail: true,
      device: { kind: 'wgpu', name: 'Fake adapter', tier: 'baseline', detail: '', isGpu: true, reason: 'for tests' },
      dispatches: { prefill: 60, decode: 30 },
      defaults: { temperature: 0 },
    };
  }

  stats(): EngineStats {
    const memory = { weights: 16e6, states: 2e6, activations: 3e6 };
    return { memory, kvTokens: 1024, kvTokensCached: 64, wasmBytes: 12e6 };
  }

  addImage(bytes: Uint8Array, maxTiles = 12): ImageInfo {
    if (bytes[0] === 0) throw new FakeError('bad-image', 'not a picture');
    this.decoded.push(bytes);
    const columns = Math.min(3, maxTiles);
    const rows = maxTiles >= 6 ? 2 : 1;
    const tiles = columns * rows + 1;
    return { id: this.#next++, width: 192, height: 128, columns, rows, thumbnail: true, visualTokens: 16 * tiles };
  }

  removeImage(image: number): void {
    this.removed.push(image);
  }

  submit(messages: ChatMessage[], settings: Settings): Submitted {
    const last = messages.at(-1);
    if (last?.text === 'bad') throw new FakeError('bad-request', 'no');
    if (last?.text === 'huge') throw new FakeError('out-of-memory', 'no room');
    const segments: Segment[] = [{ kind: 'system', tokens: 1 }];
    for (const { role, text, images } of messages) {
      for (const image of images) segments.push({ kind: 'image', image, tokens: 112 });
      segments.push({ kind: role, tokens: text.split(/\s+/).length + 3 });
    }
    const promptTokens = segments.reduce((sum, segment) => sum + segment.tokens, 0);
    const reusedTokens = messages.length > 2 ? 64 : 0;
    const text = `You asked: *${last?.text}*. There are **${last?.images.length} pictures**.\n\n- one\n- two\n\n\`\`\`js\nlet x = 1;\n\`\`\`\n`;
    const pieces = text.match(/\s*\S+|\s+$/g) ?? [];
    const tokens = pieces
      .slice(0, settings.maxNewTokens ?? 100)
      .map((piece, i): AnswerEvent => ({ type: 'token', id: i, text: piece }));
    const events: AnswerEvent[] = [
      { type: 'started', promptTokens, visualTokens: 112, reusedTokens, tilesToEncode: 7 },
      { type: 'prefill', done: 64, total: promptTokens - reusedTokens },
      ...tokens,
    ];
    const request = this.#next++;
    this.#requests.set(request, { events, stopped: false });
    return { request, segments };
  }

  async next(id: number): Promise<AnswerEvent | undefined> {
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    if (this.lost) throw new FakeError('device-lost', 'lost');
    const request = this.#requests.get(id);
    if (!request) return undefined;
    const event = request.stopped ? undefined : request.events.shift();
    if (event) return event;
    this.#requests.delete(id);
    const stats = {
      promptTokens: 130,
      visualTokens: 112,
      reusedTokens: 0,
      prefilledTokens: 130,
      tilesEncoded: 7,
      generatedTokens: 20,
      timeToFirstToken: 0.12,
      decodeSeconds: 0.5,
    };
    const grounding = [{ phrase: 'a dog', boxes: [[100, 150, 700, 900] as [number, number, number, number]] }];
    return {
      type: 'finished',
      reason: request.stopped ? 'stopped' : 'stop',
      text: request.stopped ? '' : '\nThe end.',
      stats,
      grounding,
    };
  }

  stop(id: number): void {
    const request = this.#requests.get(id);
    if (request) request.stopped = true;
  }

  async attention(messages: ChatMessage[], _ids: number[], from: number): Promise<Attention> {
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    const [columns, rows] = [12, 8];
    const images = messages
      .flatMap((message) => message.images)
      .map((image) => {
        const values = new Float32Array(LAYERS * columns * rows).map((_, i) => {
          const [x, y, l] = [i % columns, Math.floor(i / columns) % rows, Math.floor(i / columns / rows)];
          return Math.exp(-((x - 3 - l) ** 2 + (y - 4 - (from % 3)) ** 2) / 6) / 100;
        });
        return { image, columns, rows, values };
      });
    return { layers: LAYERS, images };
  }

  async selfTest(): Promise<SelfTest> {
    return { ok: true, device: 'Fake adapter', cases: [{ name: 'one', expected: [1, 2], got: [1, 2] }] };
  }

  async recover(onProgress: OnProgress): Promise<void> {
    onProgress({ stage: 'weights', done: 1, total: 2, name: 'x' });
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    this.recoveries++;
    this.lost = false;
  }

  loseDevice(): void {
    this.lost = true;
  }

  free(): void {
    this.freed = true;
  }
}

export default async function init(): Promise<void> {}

export async function load(files: ModelFiles, _options: LoadOptions, onProgress: OnProgress): Promise<WasmEngine> {
  const tell = (stage: LoadProgress['stage'], done: number, total: number, name = '') => {
    if (!onProgress({ stage, done, total, name })) throw new FakeError('cancelled');
  };
  const size = (await files.size('model.safetensors')) ?? 0;
  for (const [i, name] of ['config.json', 'model.safetensors', 'model.safetensors'].entries())
    tell('files', i, 2, name);
  const step = 1e6;
  for (let at = 0; at < size; at += step) {
    const end = Math.min(at + step, size);
    // As the real one: when a tensor begins, and when a piece of it is on the device.
    tell('weights', at, size, 'a');
    try {
      await files.read('model.safetensors', at, end);
    } catch (error) {
      throw new FakeError('read-failed', String(error));
    }
    tell('weights', end, size, 'a');
  }
  tell('weights', size, size);
  for (const [i, name] of ['matmul', 'rope', ''].entries()) tell('programs', i, 2, name);
  return new FakeEngine();
}
