/** A checkpoint far larger than WebAssembly's memory may become streams to the GPU with the heap under 256 MiB. */
import { expect, test } from './lib/engine.ts';

const MIB = 1 << 20;

test('a checkpoint of about 1 GB streams through a heap of less than 256 MiB', async ({ enginePage }) => {
  test.setTimeout(300_000);
  const outcome = await enginePage.evaluate(async () => {
    const harness = await import(new URL('/harness/monolens_browser_tests.js', location.href).href);
    await harness.default();
    if (!(await (navigator as unknown as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu?.requestAdapter())) return { skipped: 'there is no WebGPU adapter' };
    const config: string = harness.large_config(1);
    const header: Uint8Array = harness.header(config);
    const entries = JSON.parse(new TextDecoder().decode(header.subarray(8))) as Record<string, { data_offsets: [number, number] }>;
    const weights = Math.max(...Object.values(entries).map((entry) => entry.data_offsets[1]));
    const small: Record<string, Uint8Array> = {
      'config.json': new TextEncoder().encode(config),
      'tokenizer.model': harness.tiny_tokenizer(),
    };
    let largest = 0;
    const files = {
      size: async (name: string) => (name === 'model.safetensors' ? header.length + weights : small[name]?.length),
      read: async (name: string, from: number, to: number) => {
        largest = Math.max(largest, to - from);
        if (name !== 'model.safetensors') return small[name]!.slice(from, to);
        const bytes = new Uint8Array(to - from);
        for (let i = 0; i < bytes.length; i += 1) {
          const at = from + i;
          // bf16 numbers of up to 0.03: the second byte of each has the sign and the exponent.
          const random = Math.imul(at, 0x9e3779b1) >>> 24;
          const isSecond = (at - header.length) % 2 === 1;
          bytes[i] = at < header.length ? header[at]! : isSecond ? 0x3c | (random & 0x80) : random;
        }
        return bytes;
      },
    };
    const wasm = await import(new URL('/engine/monolens_web.js', location.href).href);
    await wasm.default();
    const options = { backend: 'wgpu', allowSoftware: true, context: 512 };
    const engine = await wasm.load(files, options, () => true);
    const loaded = engine.stats();
    const settings = { temperature: 0, maxNewTokens: 2 };
    const { request } = engine.submit([{ role: 'user', text: 'a', images: [] }], settings);
    let tokens = 0;
    for (let event; (event = await engine.next(request)); ) if (event.type === 'token') tokens += 1;
    return { weights, largest, loaded, after: engine.stats(), tokens };
  });
  expect(outcome.skipped, 'why nothing was loaded').toBeUndefined();
  const { weights, largest, loaded, after } = outcome;
  console.log(`weights ${weights} bytes, heap ${loaded.wasmBytes} after loading, ${after.wasmBytes} after an answer`);
  expect(weights).toBeGreaterThan(600 * MIB);
  expect(loaded.memory.weights).toBeGreaterThanOrEqual(weights ?? Infinity);
  expect(largest ?? Infinity).toBeLessThanOrEqual(8 * MIB);
  expect(after.wasmBytes).toBeLessThan(256 * MIB);
});
