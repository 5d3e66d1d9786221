/** The npm package in somebody else's page, without any bundler. */
import { expect, test } from './lib/browser.ts';
import { ask } from './lib/native.ts';

const QUESTION = 'What is this?';

interface Answered {
  pieces: string[];
  ids: number[];
  reason: string;
}

/** What `pages/library.js` gives to the window. */
interface Library {
  ready?: boolean;
  load(url: unknown, options?: object): Promise<{ device: { kind: string } }>;
  ask(text: string, pictures: string[], options?: object): Promise<Answered>;
  failure(action: () => Promise<unknown>): Promise<string | undefined>;
  model: {
    dispose(): void;
    loseDevice(): Promise<void>;
    stats(): Promise<{ memory: { weights: number } }>;
    prepare(image: Blob, options?: object): Promise<unknown>;
    attention(messages: object[], ids: number[], options: object): Promise<unknown>;
    selfTest(url: string, options?: object): Promise<{ ok: boolean }>;
  };
}
declare const window: Window & Library;

test.beforeEach(async ({ page, site }) => {
  await page.goto(`${site.url}pages/library.html`);
  await page.waitForFunction(() => window.ready);
});

for (const [name, model, url, backend] of [
  ['the bundled checkpoint', undefined, '/models/mono-tiny/', 'cpu'],
  ['the golden model', 'tests/golden/mono-v1/bf16', '/golden/mono-v1/bf16/', 'cpu'],
  ['the golden model', 'tests/golden/mono-v1/bf16', '/golden/mono-v1/bf16/', 'wgpu'],
] as const) {
  test(`${name} on ${backend} gives the ids of the native command`, async ({ page }) => {
    const given = { url, backend, question: QUESTION };
    const got = await page.evaluate(async ({ url, backend, question }) => {
      const info = await window.load(url, { backend, allowSoftware: true });
      return { kind: info.device.kind, ...(await window.ask(question, ['/examples/example.png'])) };
    }, given);
    expect(got.kind).toBe(backend);
    expect(got.ids).toEqual(ask(QUESTION, ['examples/example.png'], model).ids);
    // A name is one token of the bundled checkpoint; the golden model talks longer, and its text has to come in pieces.
    expect(got.pieces.length, 'it streams').toBeGreaterThan(model === undefined ? 0 : 10);
  });
}

test('weights are rounded to 4 bits while they are loaded, where that is asked for', async ({ page }) => {
  const [plain, rounded] = await page.evaluate(async (question) => {
    const both = [];
    for (const weights of [undefined, '4bit']) {
      await window.load('/models/mono-tiny/', { backend: 'cpu', ...(weights ? { weights } : {}) });
      const { memory } = await window.model.stats();
      both.push({ bytes: memory.weights, ids: (await window.ask(question, ['/examples/rocket.png'])).ids });
      window.model.dispose();
    }
    return both;
  }, QUESTION);
  expect(rounded?.bytes).toBeLessThan((plain?.bytes ?? 0) / 2);
  expect(rounded?.ids).toEqual(ask(QUESTION, ['examples/rocket.png'], 'models/mono-tiny', '--weights', '4bit').ids);
});

test('loading and answers end when their signal says so', async ({ page }) => {
  const codes = await page.evaluate(async (question) => {
    const url = '/golden/mono-v1/bf16/';
    const loading = new AbortController();
    const load = window.failure(() => window.load(url, { backend: 'cpu', signal: loading.signal }));
    loading.abort();
    const first = await load;
    await window.load(url, { backend: 'cpu' });
    const asking = new AbortController();
    const answer = window.failure(() =>
      window.ask(question, ['/examples/example.png'], {
        signal: asking.signal,
        onEvent: (event: { type: string }) => {
          if (event.type === 'token') asking.abort();
        },
      }),
    );
    const second = await answer;
    // The model is as good as before.
    const again = await window.ask(question, [], { maxNewTokens: 3 });
    return [first, second, again.ids.length];
  }, QUESTION);
  expect(codes).toEqual(['cancelled', 'cancelled', 3]);
});

test('all work on the way can be cancelled, before it begins and after', async ({ page }) => {
  const outcome = await page.evaluate(async (question) => {
    await window.load('/golden/mono-v1/bf16/', { backend: 'cpu' });
    const image = await (await fetch('/examples/example.png')).blob();
    const content = [{ type: 'image', image }, { type: 'text', text: question }];
    const { model } = window;
    const works: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
      prepare: (signal) => model.prepare(image, { signal }),
      attention: (signal) => model.attention([{ role: 'user', content }], [5, 6], { from: 0, to: 1, signal }),
      selfTest: (signal) => model.selfTest('/selftest/', { signal }),
      chat: (signal) => window.ask(question, ['/examples/example.png'], { signal }),
    };
    const codes: Record<string, (string | undefined)[]> = {};
    for (const [name, work] of Object.entries(works)) {
      const before = await window.failure(() => work(AbortSignal.abort()));
      const later = new AbortController();
      const after = window.failure(() => work(later.signal));
      later.abort();
      codes[name] = [before, await after];
    }
    // The model is as good as before, and what is not cancelled ends well.
    const { ok } = await model.selfTest('/selftest/');
    return { codes, ok, ids: (await window.ask(question, [], { maxNewTokens: 3 })).ids.length };
  }, QUESTION);
  const both = ['cancelled', 'cancelled'];
  expect(outcome).toEqual({ codes: { prepare: both, attention: both, selfTest: both, chat: both }, ok: true, ids: 3 });
});

test('bad input has codes', async ({ page }) => {
  const codes = await page.evaluate(async () => {
    const nowhere = await window.failure(() => window.load('/nowhere/', { backend: 'cpu' }));
    const noModels: (string | undefined)[] = [];
    for (const source of [undefined, {}, 7, 'ftp://localhost/']) noModels.push(await window.failure(() => window.load(source)));
    const kv = await window.failure(() => window.load('/golden/mono-v1/bf16/', { backend: 'cpu', kv: '3bit' }));
    await window.load('/golden/mono-v1/bf16/', { backend: 'cpu' });
    const noImage = await window.failure(() => window.ask('?', ['data:image/png;base64,AAAA']));
    const noFile = await window.failure(() => window.ask('?', ['/examples/none.png']));
    const noText = await window.failure(() => window.ask('', []));
    const odd = await window.failure(() => window.ask('?', [], { temperature: -1 }));
    const noSetting = await window.failure(() => window.ask('?', [], { temprature: 0 }));
    const noOption = await window.failure(() => window.load('/golden/mono-v1/bf16/', { wieghts: '4bit' }));
    const weights = await window.failure(() => window.load('/golden/mono-v1/bf16/', { backend: 'cpu', weights: '3bit' }));
    const long = await window.failure(() => window.ask('why '.repeat(40_000), []));
    return { nowhere, noModels, kv, noImage, noFile, noText, odd, noSetting, noOption, weights, long };
  });
  expect(codes).toEqual({
    nowhere: 'not-found',
    noModels: Array<string>(4).fill('bad-request'),
    kv: 'bad-request',
    noImage: 'bad-image',
    noFile: 'not-found',
    noText: 'bad-request',
    odd: 'bad-request',
    noSetting: 'bad-request',
    noOption: 'bad-request',
    weights: 'bad-request',
    long: 'context-full',
  });
});

test('what is no request is refused by rejection, and nothing is thrown beside it', async ({ page }) => {
  const thrown: Error[] = [];
  page.on('pageerror', (error) => thrown.push(error));
  const messages = await page.evaluate(async () => {
    const url = '/golden/mono-v1/bf16/';
    const told = (call: Promise<unknown>) => call.then(String, (error: unknown) => (error as Error).message);
    const load = (options: unknown) => told(window.load(url, options as object));
    const loads = [await load(null), await load({ backend: 'cpu', onProgress: 5 }), await load({ signal: 5 })];
    await window.load(url, { backend: 'cpu' });
    const { model } = window;
    const text = [{ role: 'user', content: '?' }];
    return [
      ...loads,
      await told(model.prepare('a.png' as never)),
      await told(model.prepare(new Blob(), { maxTiles: -2 })),
      await told(model.attention(text, [5, 6], { from: -1 })),
      await told(window.ask('?', [], { temperature: 'hot' })),
    ];
  });
  expect(messages).toEqual([
    'options: expected an object, got null',
    'onProgress: expected a function, got 5',
    'signal: expected an AbortSignal, got 5',
    'image: expected a Blob, got "a.png"',
    'maxTiles: expected a whole number over 0, got -2',
    'from: expected a whole number of 0 or more, got -1',
    'temperature: expected a number of 0 or more, got "hot"',
  ]);
  expect(thrown).toEqual([]);
});

test('loading tells each stage from its beginning to its end, and nothing twice', async ({ page }) => {
  const told = await page.evaluate(async () => {
    const told: string[] = [];
    const onProgress = (progress: object) => told.push(JSON.stringify(progress));
    await window.load('/models/mono-tiny/', { backend: 'cpu', weights: '4bit', onProgress });
    return told;
  });
  expect(new Set(told).size).toBe(told.length);
  const all = told.map((text) => JSON.parse(text) as { stage: string; done: number; total: number });
  for (const stage of ['files', 'weights', 'programs']) {
    const last = all.filter((progress) => progress.stage === stage).at(-1);
    expect(last?.total, stage).toBeGreaterThan(0);
    expect(last?.done, stage).toBe(last?.total);
  }
  expect(all.filter(({ stage }) => stage === 'programs').map(({ done }) => done)).toEqual([0, 1, 2, 3, 4]);
});

test('a setting out of range is named as the caller wrote it', async ({ page }) => {
  const message = await page.evaluate(async () => {
    await window.load('/golden/mono-v1/bf16/', { backend: 'cpu' });
    return window.ask('?', [], { topP: 7 }).then(String, (error: unknown) => (error as Error).message);
  });
  expect(message).toBe('topP: expected a number over 0 and up to 1, got 7');
});

test('a lost device is brought back without the page having to do anything', async ({ page }) => {
  const question = { question: QUESTION };
  const ids = await page.evaluate(async ({ question }) => {
    await window.load('/golden/mono-v1/bf16/', { backend: 'wgpu', allowSoftware: true });
    let tokens = 0;
    const onEvent = (event: { type: string }) => {
      if (event.type === 'token' && ++tokens === 5) void window.model.loseDevice();
    };
    return (await window.ask(question, ['/examples/example.png'], { onEvent })).ids;
  }, question);
  expect(ids).toEqual(ask(QUESTION, ['examples/example.png'], 'tests/golden/mono-v1/bf16').ids);
});
