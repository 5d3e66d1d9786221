/**
 * The border between the wasm engine (`crates/monolens-web`, Rust) and the worker (TypeScript).
 *
 * The worker implements {@link ModelFiles}; the wasm module implements {@link WasmModule} and {@link WasmEngine}.
 * Everything here is plain data, so it also passes through `postMessage` unchanged. Names are in camelCase on both
 * sides (serde renames).
 */

/** Where a model's files come from: HTTP ranges with a cache in OPFS, dropped files, files in memory. */
export interface ModelFiles {
  /** Bytes of a file of the model's folder, or `undefined` where there is none. */
  size(name: string): Promise<number | undefined>;
  /** Bytes `[from, to)` of a file. Rejects with an `Error` that says what failed. */
  read(name: string, from: number, to: number): Promise<Uint8Array>;
}

/** Which device runs the model. `auto`: WebGPU where there is a real GPU, else the CPU in wasm. */
export type BackendName = 'auto' | 'wgpu' | 'cpu';

/** What of a GPU is used: only what every WebGPU has, f16, or what else the adapter offers. */
export type TierName = 'baseline' | 'half' | 'subgroups' | 'matrix';

/** Bits that weights are rounded to, perhaps with the size of the groups that share a scale: `4bit-g32`. */
export type WeightFormat = '8bit' | '4bit' | `${'8' | '4'}bit-g${number}`;

/** What keys and values are kept in. */
export type KvFormat = '8bit' | 'bf16' | 'f32';

export interface LoadOptions {
  backend: BackendName;
  /** Take a software WebGPU adapter too (tests; `auto` and `wgpu` refuse one otherwise). */
  allowSoftware?: boolean;
  /** Capability tier to force. */
  tier?: TierName;
  /** Tokens a conversation may have; default: what the model was trained for, and memory allows. */
  context?: number;
  /** Round weights while they are loaded: `8bit`, `4bit`, or with smaller groups `4bit-g32`. Default: as stored. */
  weights?: WeightFormat;
  /** Keep keys and values in `8bit`, `bf16` or `f32`. Default: f32 beside f32 weights, else bf16. */
  kv?: KvFormat;
}

/** How far loading is. */
export interface LoadProgress {
  /** `files`: config, tokenizer and tensor headers; `weights`: tensors to the device; `programs`: kernels compiled. */
  stage: 'files' | 'weights' | 'programs';
  /** Files, bytes on the device (`weights`) or programs done, and of how many. A stage ends with all of them. */
  done: number;
  total: number;
  /** The file, tensor or program at hand; empty where a stage is over. */
  name: string;
}

/** Return `false` to cancel: loading then rejects with code `cancelled`. */
export type OnProgress = (progress: LoadProgress) => boolean;

/** The exports of the wasm module, besides its `default` initialiser. */
export interface WasmModule {
  load(files: ModelFiles, options: LoadOptions, onProgress: OnProgress): Promise<WasmEngine>;
}

/** What the shaders gave on this very device, beside what the official code gives. */
export interface SelfTest {
  ok: boolean;
  device: string;
  cases: { name: string; expected: number[]; got: number[] }[];
}

/**
 * A model on a device. No call blocks for long; calls may overlap: `stop`, `info`, `stats` and `addImage` are safe while
 * `next` is pending.
 */
export interface WasmEngine {
  info(): ModelInfo;
  stats(): EngineStats;
  /** Decodes PNG, JPEG, WebP, BMP, GIF or TIFF and cuts it into tiles. Throws code `bad-image`. */
  addImage(bytes: Uint8Array, maxTiles?: number): ImageInfo;
  /** Forgets an image; conversations that name it can no longer be submitted. */
  removeImage(image: number): void;
  /** Begins an answer to the last message. Throws `bad-request`, `context-full`. */
  submit(messages: ChatMessage[], settings: Settings): Submitted;
  /** The next event of an answer; `undefined` after its last one. Rejects with `device-lost`, `out-of-memory`, ... */
  next(request: number): Promise<AnswerEvent | undefined>;
  /** Ends an answer; its `finished` event still comes. */
  stop(request: number): void;
  /** Where in the images the answer tokens `[from, to)` (their mean) of an answer to `messages` looked, by layer. */
  attention(messages: ChatMessage[], answerIds: number[], from: number, to: number): Promise<Attention>;
  /** Runs the small golden model at `files` (greedy ids of the official code, `selftest.json` among them) on this very
   * device, with the kernels that are compiled already. Answers may be under way meanwhile. */
  selfTest(files: ModelFiles): Promise<SelfTest>;
  /** Opens the device anew after `device-lost`, loads the weights again from the files given at load, and lets running
   * answers go on with their next `next`. */
  recover(onProgress: OnProgress): Promise<void>;
  /** Destroys the device, as a driver reset would. For tests and for the curious. */
  loseDevice(): void;
  free(): void;
}

export interface ModelInfo {
  /** For people: `Mono-InternVL-1.5 (qkvo)`. */
  name: string;
  parameters: number;
  layers: number;
  /** Tokens of prompt and answer together. */
  context: number;
  tileSize: number;
  /** Visual tokens of one tile. */
  tokensPerTile: number;
  /** Most tiles an image may be cut into. */
  maxTiles: number;
  useThumbnail: boolean;
  device: { kind: 'wgpu' | 'cpu'; name: string; tier: string; detail: string; isGpu: boolean; reason: string };
  /** Kernel launches by phase, e.g. `decode`: 30. */
  dispatches: Record<string, number>;
  /** Sampling defaults of the model's `generation_config.json`. */
  defaults: Settings;
}

export interface EngineStats {
  /** Bytes on the device. */
  memory: { weights: number; states: number; activations: number };
  /** Tokens whose keys and values there is room for. */
  kvTokens: number;
  /** How many of them no answer needs just now; a question that begins alike takes them instead of computing them. */
  kvTokensCached: number;
  /** Bytes of the wasm heap now; it never shrinks, so this is also its peak. */
  wasmBytes: number;
}

export interface ImageInfo {
  id: number;
  width: number;
  height: number;
  /** Tile grid, thumbnail not counted. */
  columns: number;
  rows: number;
  thumbnail: boolean;
  visualTokens: number;
  warning?: string;
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  /** `<image>` marks where an image goes; images without a mark go in front. */
  text: string;
  /** Ids of images from `addImage`. */
  images: number[];
  /** Of an answer its token ids, where they are known; they count where they say the text. */
  ids?: number[];
}

/** All optional; what is absent is the model's default. */
export interface Settings {
  temperature?: number;
  topK?: number;
  topP?: number;
  repetitionPenalty?: number;
  seed?: number;
  maxNewTokens?: number;
  stop?: string[];
  /** Keep `<ref>` and `<box>` tags in the text. */
  keepTags?: boolean;
}

export interface Submitted {
  request: number;
  /** The prompt's token sequence, in runs of one kind, in order. */
  segments: Segment[];
}

export interface Segment {
  kind: 'system' | 'user' | 'image' | 'assistant';
  /** For `image`: its id. */
  image?: number;
  tokens: number;
}

export type AnswerEvent =
  | { type: 'started'; promptTokens: number; visualTokens: number; reusedTokens: number; tilesToEncode: number }
  | { type: 'prefill'; done: number; total: number }
  /** `text` is what became certain with this token; it may be empty. */
  | { type: 'token'; id: number; text: string }
  /** `text` is what had been held back, often nothing: the answer is all `text`s joined. */
  | { type: 'finished'; reason: FinishReason; text: string; stats: AnswerStats; grounding: Grounded[] };

export type FinishReason = 'stop' | 'stop-string' | 'max-tokens' | 'context-full' | 'stopped';

export interface AnswerStats {
  promptTokens: number;
  visualTokens: number;
  reusedTokens: number;
  prefilledTokens: number;
  tilesEncoded: number;
  /** The token that ends the answer included, which is no `token` event. */
  generatedTokens: number;
  /** Seconds. */
  timeToFirstToken: number;
  /** Seconds from the first token to the last: for `generatedTokens - 1` of them. */
  decodeSeconds: number;
}

/** A phrase of the answer and its boxes, in thousandths of the image's width and height: `[x1, y1, x2, y2]`. */
export interface Grounded {
  phrase: string;
  boxes: [number, number, number, number][];
}

export interface Attention {
  layers: number;
  images: {
    image: number;
    /** Of the map over the whole image (tiles put side by side, thumbnail left out). */
    columns: number;
    rows: number;
    /** `[layers, rows, columns]`, attention probabilities averaged over heads and over the answer tokens asked for. */
    values: Float32Array;
  }[];
}

/** Every error that the wasm module throws or rejects with is an `Error` with one of these as its `code`. */
export type ErrorCode =
  | 'unavailable'
  | 'device-lost'
  | 'out-of-memory'
  | 'bad-model'
  | 'bad-image'
  | 'bad-request'
  | 'context-full'
  | 'cancelled'
  | 'read-failed'
  | 'internal';
