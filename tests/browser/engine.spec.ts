/** The engine's module by itself: its border as `web/src/engine/contract.ts` has it. */
import type { Page } from '@playwright/test';
import { expect, test } from './lib/engine.ts';

interface Model {
  folder: string;
  backend: 'wgpu' | 'cpu';
}

/** Puts `window.wasm`, `window.files(folder)` and `window.openModel(model)` on the page. */
async function prepare(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const wasm = await import(new URL('/engine/monolens_web.js', location.href).href);
    await wasm.default();
    const files = (folder: string) => ({
      size: async (name: string) => {
        const response = await fetch(`/public/${folder}/${name}`, { method: 'HEAD' });
        return response.ok ? Number(response.headers.get('content-length')) : undefined;
      },
      read: async (name: string, from: number, to: number) => {
        const response = await fetch(`/public/${folder}/${name}`, { headers: { range: `bytes=${from}-${to - 1}` } });
        return new Uint8Array(await response.arrayBuffer());
      },
    });
    const openModel = ({ folder, backend }: Model) => wasm.load(files(folder), { backend, allowSoftware: true }, () => true);
    Object.assign(window, { wasm, files, openModel });
  });
}

declare global {
  interface Window {
    // The module is loaded by address, so its types are not at hand.
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    wasm: any;
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    files: (folder: string) => any;
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    openModel: (model: Model) => Promise<any>;
  }
}

test.beforeEach(async ({ enginePage }) => prepare(enginePage));

for (const backend of ['cpu', 'wgpu'] as const) {
  test(`the self-test gives the official ids (${backend})`, async ({ enginePage }) => {
    const outcome = await enginePage.evaluate(
      async (backend) => {
        const engine = await window.openModel({ folder: 'models/mono-tiny', backend });
        return engine.selfTest(window.files('selftest'));
      },
      backend,
    );
    expect(outcome.cases.length).toBeGreaterThan(0);
    for (const one of outcome.cases) expect(one.got, one.name).toEqual(one.expected);
    expect(outcome.ok).toBe(true);
  });

  test(`an answer can be stopped while it is being made (${backend})`, async ({ enginePage }) => {
    const outcome = await enginePage.evaluate(async (backend) => {
      const engine = await window.openModel({ folder: 'models/mono-tiny', backend });
      const bytes = new Uint8Array(await (await fetch('/public/examples/example.png')).arrayBuffer());
      const image = engine.addImage(bytes);
      const messages = [{ role: 'user', text: 'What is this?', images: [image.id] }];
      // So hot that every token is as likely as the one that ends an answer: it goes on for hundreds.
      const settings = { maxNewTokens: 500, temperature: 100, topK: 0, topP: 1, seed: 1, stop: [] };
      const { request, segments } = engine.submit(messages, settings);
      const kinds: string[] = [];
      const first = engine.next(request);
      // Everything else is safe meanwhile.
      const during = [engine.info().name, engine.stats().kvTokens, engine.addImage(bytes).id];
      kinds.push((await first).type);
      setTimeout(() => engine.stop(request), 0);
      let last;
      for (let event; (event = await engine.next(request)); last = event) kinds.push(event.type);
      return { image, segments, kinds, during, last };
    }, backend);
    expect(outcome.kinds[0]).toBe('started');
    expect(outcome.last.reason).toBe('stopped');
    expect(outcome.during).toHaveLength(3);
    const visual = outcome.segments.find((segment: { kind: string }) => segment.kind === 'image');
    expect(visual.tokens).toBe(outcome.image.visualTokens);
  });
}

test('a lost device is an error with a code, and the answer goes on after recovery', async ({ enginePage }) => {
  const outcome = await enginePage.evaluate(async () => {
    const engine = await window.openModel({ folder: 'selftest', backend: 'wgpu' });
    const ask = () => engine.submit([{ role: 'user', text: 'What can you see?', images: [] }], { temperature: 0, maxNewTokens: 12 });
    const rest = async (request: number, ids: number[]) => {
      for (let event; (event = await engine.next(request)); ) if (event.type === 'token') ids.push(event.id);
      return ids;
    };
    const whole = await rest(ask().request, []);
    const { request } = ask();
    const ids: number[] = [];
    while (ids.length < 2) {
      const event = await engine.next(request);
      if (event.type === 'token') ids.push(event.id);
    }
    engine.loseDevice();
    const error = await engine.next(request).then(() => undefined, (e: { code: string; message: string }) => e);
    await engine.recover(() => true);
    return { whole, code: error?.code, message: error?.message, ids: await rest(request, ids) };
  });
  expect(outcome.code, outcome.message).toBe('device-lost');
  expect(outcome.ids).toEqual(outcome.whole);
});

test('errors have codes and say what was wrong', async ({ enginePage }) => {
  const codes = await enginePage.evaluate(async () => {
    const engine = await window.openModel({ folder: 'models/mono-tiny', backend: 'cpu' });
    const code = async (action: () => unknown) => {
      try {
        await action();
        return 'none';
      } catch (error) {
        return (error as { code?: string }).code;
      }
    };
    const ask = (text: string, images: number[] = []) => engine.submit([{ role: 'user', text, images }], {});
    return {
      image: await code(() => engine.addImage(new Uint8Array([1, 2, 3]))),
      empty: await code(() => ask(' ')),
      unknown: await code(() => ask('a', [99])),
      full: await code(() => ask('word '.repeat(200_000))),
      setting: await code(() => engine.submit([{ role: 'user', text: 'a', images: [] }], { topP: 7 })),
      missing: await code(() => window.openModel({ folder: 'nowhere', backend: 'cpu' })),
      cancelled: await code(() => window.wasm.load(window.files('models/mono-tiny'), { backend: 'cpu' }, () => false)),
      tier: await code(() => window.wasm.load(window.files('models/mono-tiny'), { backend: 'wgpu', tier: 'turbo' }, () => true)),
    };
  });
  expect(codes).toEqual({
    image: 'bad-image',
    empty: 'bad-request',
    unknown: 'bad-request',
    full: 'context-full',
    setting: 'bad-request',
    missing: 'bad-model',
    cancelled: 'cancelled',
    tier: 'unavailable',
  });
});

test('attention over an image is a map of its tiles', async ({ enginePage }) => {
  const outcome = await enginePage.evaluate(async () => {
    const engine = await window.openModel({ folder: 'models/mono-tiny', backend: 'cpu' });
    const bytes = new Uint8Array(await (await fetch('/public/examples/example.png')).arrayBuffer());
    const image = engine.addImage(bytes);
    const messages = [{ role: 'user', text: 'What is this?', images: [image.id] }];
    const seen = await engine.attention(messages, [5, 6, 7], 1, 3);
    const [map] = seen.images;
    const { columns, rows, values } = map;
    return { image, layers: seen.layers, info: engine.info(), columns, rows, values: Array.from(values as Float32Array) };
  });
  const side = Math.sqrt(outcome.info.tokensPerTile);
  expect(outcome.columns).toBe(outcome.image.columns * side);
  expect(outcome.rows).toBe(outcome.image.rows * side);
  expect(outcome.values).toHaveLength(outcome.layers * outcome.columns * outcome.rows);
  for (let layer = 0; layer < outcome.layers; layer += 1) {
    const size = outcome.columns * outcome.rows;
    const sum = outcome.values.slice(layer * size, (layer + 1) * size).reduce((a, b) => a + b, 0);
    expect(sum).toBeGreaterThan(0);
    expect(sum).toBeLessThanOrEqual(1.0001);
  }
});
