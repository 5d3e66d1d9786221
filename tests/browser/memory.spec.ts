/**
 * A checkpoint far larger than WebAssembly's memory may become streams to the GPU with the heap under 256 MiB.
 *
 * `MONOLENS_LAYERS=24` makes it the whole of Mono-InternVL-2B's shape, 6.2 GB, which takes as much memory and some minutes;
 * `MONOLENS_WEIGHTS=4bit` rounds it while it is loaded.
 */
import { expect, test } from './lib/engine.ts';
import { streamLarge, type Streamed } from './lib/large-model.ts';
import { onBlankInFirefox } from './lib/other-browsers.ts';

const MIB = 1 << 20;
const WISH = { layers: Number(process.env['MONOLENS_LAYERS'] ?? 1), format: process.env['MONOLENS_WEIGHTS'] };

test.setTimeout(1_200_000);

function check({ weights, largest, loading, loaded, after, tokens, firstToken, decoding }: Streamed): void {
  console.log(
    `${weights} bytes, ${loaded.memory.weights} on the device after ${loading.toFixed(1)} s; heap ${loaded.wasmBytes} after loading, ` +
      `${after.wasmBytes} after an answer; first token after ${firstToken.toFixed(1)} s, ${tokens - 1} more in ${decoding.toFixed(1)} s`,
  );
  expect(weights).toBeGreaterThan(600 * MIB);
  expect(loaded.memory.weights).toBeGreaterThanOrEqual(WISH.format ? 1 : weights);
  expect(largest).toBeLessThanOrEqual(8 * MIB);
  expect(after.wasmBytes).toBeLessThan(256 * MIB);
  expect(tokens).toBe(2);
}

test('a checkpoint of about 1 GB streams through a heap of less than 256 MiB', async ({ enginePage }) => {
  const outcome = await enginePage.evaluate(streamLarge, WISH);
  expect(outcome.skipped, 'why nothing was loaded').toBeUndefined();
  check(outcome);
});

test('in Firefox too', async () => {
  await onBlankInFirefox(async (browser) => {
    const outcome = await browser.run(streamLarge, WISH);
    test.skip(outcome.skipped !== undefined, `SKIPPED: ${outcome.skipped}`);
    check(outcome);
  });
});
