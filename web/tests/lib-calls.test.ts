/** The library's face, with the service and the fake engine in place of the worker. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PageMethods } from '../src/engine/messages';
import { Peer, type Port } from '../src/engine/peer';
import { Service } from '../src/engine/service';
import { type ChatOptions, type Message, type ModelFiles, Monolens, MonolensError } from '../src/lib';
import { toWire } from '../src/lib/openai';
import { FakeEngine, load as loadFake } from './fake-engine';
import { FakeDirectory } from './fake-opfs';

const FILES: ModelFiles = {
  size: async (name) => ({ 'config.json': 2, 'model.safetensors': 3e6 })[name],
  read: async (_name, from, to) => new Uint8Array(to - from),
};
const QUESTION: Message[] = [{ role: 'user', content: 'What is this?' }];
const PICTURE = new Blob([new Uint8Array([1, 2, 3])]);

let workers: FakeWorker[];
let reported: unknown[];

class FakeWorker {
  readonly #channel = new MessageChannel();

  constructor() {
    workers.push(this);
    const { port2 } = this.#channel;
    const service = new Service(Promise.resolve({ load: loadFake }));
    service.connect(new Peer<PageMethods>(port2 as Port, service.handlers));
    port2.start();
    this.#channel.port1.start();
  }

  postMessage(message: unknown, transfer: Transferable[]) {
    this.#channel.port1.postMessage(message, transfer);
  }

  addEventListener(type: string, listener: (event: MessageEvent) => void) {
    this.#channel.port1.addEventListener(type as 'message', listener);
  }

  terminate() {
    this.#channel.port1.close();
  }
}

beforeEach(() => {
  workers = [];
  reported = [];
  vi.stubGlobal('Worker', FakeWorker);
  vi.stubGlobal('reportError', (error: unknown) => reported.push(error));
  vi.stubGlobal('location', { href: 'http://here.example/page/', origin: 'http://here.example' });
});

afterEach(() => {
  for (const worker of workers) worker.terminate();
  vi.unstubAllGlobals();
});

/** What a call that began fails with, which has to be by rejection and of the library. */
async function failure(call: () => Promise<unknown>): Promise<MonolensError> {
  const error = await call().then(
    () => 'no failure',
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(MonolensError);
  return error as MonolensError;
}

describe('what is no request', () => {
  it.each([
    ['a model', 5, {}, 'source: expected a URL, files, a folder, or an object with size() and read(), got 5'],
    ['a file', [5], {}, 'source[0]: expected a File, got 5'],
    ['options', FILES, null, 'options: expected an object, got null'],
    ['a signal', FILES, { signal: 5 }, 'signal: expected an AbortSignal, got 5'],
    ['a listener', FILES, { onProgress: 5 }, 'onProgress: expected a function, got 5'],
  ])('is refused to load: %s', async (_, source, options, message) => {
    const error = await failure(() => Monolens.load(source as never, options as never));
    expect(error).toMatchObject({ code: 'bad-request', message });
    expect(workers, 'no worker is begun for it').toEqual([]);
  });

  it.each<[string, (model: Monolens) => Promise<unknown>, string]>([
    ['chat', (model) => model.chat(QUESTION, null as never).finished, 'options: expected an object, got null'],
    [
      'chat',
      (model) => model.chat(QUESTION, { signal: 3 as never }).finished,
      'signal: expected an AbortSignal, got 3',
    ],
    ['chat', (model) => model.chat([null as never]).finished, 'messages[0]: expected an object, got null'],
    ['prepare', (model) => model.prepare('a.png' as never), 'image: expected a Blob, got "a.png"'],
    ['prepare', (model) => model.prepare(PICTURE, null as never), 'options: expected an object, got null'],
    ['attention', (model) => model.attention(QUESTION, 5 as never), 'answerIds: expected a list, got 5'],
    [
      'attention',
      (model) => model.attention(QUESTION, [1, -1]),
      'answerIds[1]: expected a whole number of 0 or more, got -1',
    ],
    ['attention', (model) => model.attention(QUESTION, [1], null as never), 'options: expected an object, got null'],
    ['selfTest', (model) => model.selfTest(5 as never), 'url: expected a URL, got 5'],
    ['selfTest', (model) => model.selfTest('x/', null as never), 'options: expected an object, got null'],
    ['free', () => Monolens.free(5 as never), 'url: expected a URL, got 5'],
  ])('is refused by %s', async (_, call, message) => {
    const model = await Monolens.load(FILES);
    expect(await failure(() => call(model))).toMatchObject({ code: 'bad-request', message });
  });
});

it('attention without a range is that of the whole answer', async () => {
  const model = await Monolens.load(FILES);
  const messages: Message[] = [{ role: 'user', content: [{ type: 'image', image: PICTURE }] }];
  const attention = vi.spyOn(FakeEngine.prototype, 'attention');
  expect((await model.attention(messages, [5, 6, 7])).images).toHaveLength(1);
  await model.attention(messages, [5, 6, 7], { from: 1, to: 2 });
  expect(attention.mock.calls.map((given) => given.slice(1))).toEqual([
    [[5, 6, 7], 0, 3],
    [[5, 6, 7], 1, 2],
  ]);
});

it("a listener's own error is reported and breaks nothing", async () => {
  const broken = () => {
    throw new TypeError('mine');
  };
  const model = await Monolens.load(FILES, { onProgress: broken });
  const whileLoaded = reported.length;
  expect(whileLoaded).toBeGreaterThan(0);
  const { reason } = await model.chat(QUESTION, { maxNewTokens: 2, onEvent: broken }).finished;
  expect(reason).toBe('stop');
  expect(reported.length).toBeGreaterThan(whileLoaded);
  expect(reported.every((error) => error instanceof TypeError && error.message === 'mine')).toBe(true);
});

describe("a signal's reason is the error's cause", () => {
  const reason = new Error('the visitor left');
  const works: Record<string, (model: Monolens, signal: AbortSignal) => Promise<unknown>> = {
    load: (_, signal) => Monolens.load(FILES, { signal }),
    chat: (model, signal) => model.chat(QUESTION, { signal } satisfies ChatOptions).finished,
    prepare: (model, signal) => model.prepare(PICTURE, { signal }),
    attention: (model, signal) => model.attention(QUESTION, [1], { signal }),
    selfTest: (model, signal) => model.selfTest('selftest/', { signal }),
  };

  it.each(Object.entries(works))('of %s, before it begins and after', async (_, work) => {
    const model = await Monolens.load(FILES);
    const before = await failure(() => work(model, AbortSignal.abort(reason)));
    expect(before).toMatchObject({ code: 'cancelled', cause: reason });
    const later = new AbortController();
    const under = failure(() => work(model, later.signal));
    later.abort(reason);
    expect(await under).toMatchObject({ code: 'cancelled', cause: reason });
  });

  it('of an answer under way', async () => {
    const model = await Monolens.load(FILES);
    const asking = new AbortController();
    const { signal } = asking;
    const answer = model.chat(QUESTION, { signal, onEvent: ({ type }) => type === 'token' && asking.abort(reason) });
    expect(await failure(() => answer.finished)).toMatchObject({ code: 'cancelled', cause: reason });
  });
});

describe('a picture from an address', () => {
  const ask = (url: string) =>
    failure(() => toWire([{ role: 'user', content: [{ type: 'image_url', image_url: url }] }]));

  it('that its server lets nobody else read has a code of its own', async () => {
    const fetched = vi.fn(async (_url: string, { mode }: RequestInit) => {
      if (mode !== 'no-cors') throw new TypeError('Failed to fetch');
      return new Response();
    });
    vi.stubGlobal('fetch', fetched);
    expect((await ask('https://other.example/a.png')).code).toBe('cross-origin');
    // The page's own server cannot refuse it so.
    expect((await ask('a.png')).code).toBe('network');
  });

  it('is one', async () => {
    expect(await ask('http://')).toMatchObject({ code: 'bad-request', message: '"http://" is no URL' });
  });
});

it('a stored model is freed by the address it was loaded from', async () => {
  const disk = new FakeDirectory();
  vi.stubGlobal('navigator', { storage: { getDirectory: async () => disk } });
  const folder = 'https://huggingface.co/OpenGVLab/Mono-InternVL-2B';
  const [first, second] = [`${folder}/resolve/main/`, 'http://here.example/page/other/'];
  const models = await disk.getDirectoryHandle('monolens-models', { create: true });
  for (const [i, url] of [first, second].entries()) {
    const about = await (await models.getDirectoryHandle(`${i}`, { create: true })).getFileHandle('about.json', {
      create: true,
    });
    about.bytes = new TextEncoder().encode(JSON.stringify({ url }));
  }
  const stored = async () => (await Monolens.stored()).map(({ url }) => url);
  expect(await stored()).toEqual([first, second]);
  await Monolens.free(folder);
  expect(await stored()).toEqual([second]);
  await Monolens.free(second);
  expect(await stored()).toEqual([]);
});

it('an answer that is stopped before anything is asked ends as stopped', async () => {
  const model = await Monolens.load(FILES);
  const answer = model.chat(QUESTION);
  answer.stop();
  expect(await answer.finished).toMatchObject({
    text: '',
    reason: 'stopped',
    tokens: [],
    stats: { generatedTokens: 0 },
  });
  // It costs the next one nothing.
  expect((await model.chat(QUESTION).finished).reason).toBe('stop');
});
