/** A made-up checkpoint of Mono-InternVL-2B's shape, as it comes from a server: bytes as they are asked for. */

export interface Streamed {
  skipped?: string;
  /** Bytes of the checkpoint, and of the largest piece of it that was read. */
  weights: number;
  largest: number;
  /** Seconds. */
  loading: number;
  loaded: Stats;
  after: Stats;
  tokens: number;
  /** Seconds to the first token, and for those after it. */
  firstToken: number;
  decoding: number;
}

interface Stats {
  memory: { weights: number };
  wasmBytes: number;
}

interface Wish {
  /** Of the published 24; one is 1 GB, all are 6.2. */
  layers: number;
  /** What weights are rounded to while they are loaded. */
  format?: string | undefined;
}

/** Loads it and answers a word. Runs in the page, so it can use nothing of this file. */
export async function streamLarge({ layers, format }: Wish): Promise<Streamed> {
  const none: Streamed['loaded'] = { memory: { weights: 0 }, wasmBytes: 0 };
  const outcome: Streamed = { weights: 0, largest: 0, loading: 0, loaded: none, after: none, tokens: 0, firstToken: 0, decoding: 0 };
  const harness = await import(new URL('/harness/monolens_browser_tests.js', location.href).href);
  await harness.default();
  const { gpu } = navigator as unknown as { gpu?: { requestAdapter(): Promise<unknown> } };
  if (!(await gpu?.requestAdapter())) return { ...outcome, skipped: 'there is no WebGPU adapter' };
  const config: string = harness.large_config(layers);
  const header: Uint8Array = harness.header(config);
  const entries = JSON.parse(new TextDecoder().decode(header.subarray(8))) as Record<string, { data_offsets: [number, number] }>;
  outcome.weights = Math.max(...Object.values(entries).map((entry) => entry.data_offsets[1]));
  const small: Record<string, Uint8Array> = {
    'config.json': new TextEncoder().encode(config),
    'tokenizer.model': harness.tiny_tokenizer(),
  };
  // bf16 numbers of up to 0.03, over and over: the second byte of each has the sign and the exponent.
  const noise = new Uint8Array(8 << 20);
  for (let i = 0; i < noise.length; i += 1) {
    const random = Math.imul(i, 0x9e3779b1) >>> 24;
    noise[i] = i % 2 === 1 ? 0x3c | (random & 0x80) : random;
  }
  const files = {
    size: async (name: string) => (name === 'model.safetensors' ? header.length + outcome.weights : small[name]?.length),
    read: async (name: string, from: number, to: number) => {
      outcome.largest = Math.max(outcome.largest, to - from);
      if (name !== 'model.safetensors') return small[name]!.slice(from, to);
      const bytes = new Uint8Array(to - from);
      for (let at = from; at < to; ) {
        const start = at < header.length ? at : (at - header.length) % noise.length;
        const piece = (at < header.length ? header : noise).subarray(start, start + to - at);
        bytes.set(piece, at - from);
        at += piece.length;
      }
      return bytes;
    },
  };
  const wasm = await import(new URL('/engine/monolens_web.js', location.href).href);
  await wasm.default();
  const options = { backend: 'wgpu', allowSoftware: true, context: 512, ...(format ? { weights: format } : {}) };
  const begin = performance.now();
  const engine = await wasm.load(files, options, () => true);
  outcome.loading = (performance.now() - begin) / 1000;
  outcome.loaded = engine.stats();
  const { request } = engine.submit([{ role: 'user', text: 'a', images: [] }], { temperature: 0, maxNewTokens: 2 });
  for (let event; (event = await engine.next(request)); ) {
    if (event.type === 'token') outcome.tokens += 1;
    if (event.type !== 'finished') continue;
    outcome.firstToken = event.stats.timeToFirstToken;
    outcome.decoding = event.stats.decodeSeconds;
  }
  outcome.after = engine.stats();
  return outcome;
}
