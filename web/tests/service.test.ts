import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ModelFiles, WasmEngine, WasmModule } from '../src/engine/contract';
import type { ChatEvent, DeviceEvent, PageMethods, WireMessage, WorkerMethods } from '../src/engine/messages';
import { Peer, type Port } from '../src/engine/peer';
import { Service } from '../src/engine/service';
import { MonolensError } from '../src/lib/errors';
import { type FakeEngine, load } from './fake-engine';

const OPTIONS = { backend: 'auto' } as const;

let page: Peer<WorkerMethods>;
let engine: FakeEngine;
let files: ModelFiles;
let devices: DeviceEvent[];
let close: () => void;

beforeEach(() => {
  const { port1, port2 } = new MessageChannel();
  devices = [];
  files = {
    size: async (name) => ({ 'config.json': 2, 'model.safetensors': 3e6 })[name],
    read: async (_name, from, to) => new Uint8Array(to - from),
  };
  const module: WasmModule = {
    load: async (...args): Promise<WasmEngine> => {
      const loaded = await load(...args);
      engine = loaded as FakeEngine;
      return loaded;
    },
  };
  const service = new Service(Promise.resolve(module));
  service.connect(new Peer<PageMethods>(port2 as Port, service.handlers));
  page = new Peer<WorkerMethods>(port1 as Port, {
    size: ({ name }: { name: string }) => files.size(name),
    read: ({ name, from, to }: { name: string; from: number; to: number }) => files.read(name, from, to),
    device: (event: DeviceEvent) => {
      devices.push(event);
    },
  });
  port1.start();
  port2.start();
  close = () => port1.close();
});

afterEach(() => close());

const loadModel = () => page.call('load', { source: { kind: 'page' }, options: OPTIONS });
const picture = (byte: number) => ({ image: new Blob([new Uint8Array([byte, 2, 3])]), maxTiles: undefined });
const question = (text: string, ...images: WireMessage['images']): WireMessage => ({ role: 'user', text, images });

describe('loading', () => {
  it('reads through the page and tells each stage from its beginning to its end, and nothing twice', async () => {
    const told: string[] = [];
    const info = await page.call(
      'load',
      { source: { kind: 'page' }, options: OPTIONS },
      {
        onEvent: (event) => {
          if (event.from !== 'engine') return;
          const { stage, done, total } = event.progress;
          told.push(`${stage} ${done} of ${total}`);
        },
      },
    );
    expect(info.name).toBe('fake');
    // All of it comes within a moment, in which most news of weights wait in vain.
    expect(told.filter((news) => !news.startsWith('weights'))).toEqual([
      'files 0 of 2',
      'files 1 of 2',
      'files 2 of 2',
      'programs 0 of 2',
      'programs 1 of 2',
      'programs 2 of 2',
    ]);
    expect(told.filter((news) => news.startsWith('weights')).at(-1)).toBe('weights 3000000 of 3000000');
    expect(new Set(told).size).toBe(told.length);
  });

  it("keeps the source's own error, which the engine only calls a failed read", async () => {
    files.read = () => Promise.reject(new MonolensError('corrupt', 'bad bytes'));
    await expect(loadModel()).rejects.toMatchObject({ code: 'corrupt', message: 'bad bytes' });
  });

  it('refuses a folder that is no model', async () => {
    files.size = async () => undefined;
    await expect(loadModel()).rejects.toMatchObject({ code: 'not-found' });
  });

  it('can be cancelled', async () => {
    const controller = new AbortController();
    files.read = async (_name, from, to) => {
      controller.abort();
      await new Promise((resolve) => setTimeout(resolve, 20));
      return new Uint8Array(to - from);
    };
    const loading = page.call('load', { source: { kind: 'page' }, options: OPTIONS }, { signal: controller.signal });
    await expect(loading).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('frees the model before', async () => {
    await loadModel();
    const first = engine;
    await loadModel();
    expect(first.freed).toBe(true);
  });

  it('is needed before anything else', async () => {
    await expect(page.call('stats', undefined)).rejects.toMatchObject({ code: 'bad-request' });
  });
});

describe('answering', () => {
  beforeEach(async () => {
    await loadModel();
  });

  const ask = (messages: WireMessage[], signal?: AbortSignal, onEvent?: (event: ChatEvent) => void) =>
    page.call('chat', { messages, settings: {} }, { signal, onEvent });

  it('streams, and counts pictures as the request does', async () => {
    await page.call('prepare', picture(9));
    const events: ChatEvent[] = [];
    const finished = await ask([question('hello', picture(5), picture(6))], undefined, (event) => events.push(event));
    expect(finished.reason).toBe('stop');
    const [submitted] = events;
    expect(submitted).toMatchObject({ type: 'submitted' });
    const kinds = submitted?.type === 'submitted' ? submitted.segments.flatMap(({ image }) => image ?? []) : [];
    expect(kinds).toEqual([0, 1]);
    expect(events.filter((event) => event.type === 'token').length).toBeGreaterThan(5);
  });

  it('tells the places of a picture that is there twice apart', async () => {
    const events: ChatEvent[] = [];
    const twice = [question('a', picture(5), picture(6)), question('b', picture(5))];
    await ask(twice, undefined, (event) => events.push(event));
    const [submitted] = events;
    const places = submitted?.type === 'submitted' ? submitted.segments.flatMap(({ image }) => image ?? []) : [];
    expect(places).toEqual([0, 1, 2]);
  });

  it('decodes a picture once, whatever comes between', async () => {
    await page.call('prepare', picture(5));
    await ask([question('a', picture(5))]);
    await ask([question('a', picture(5)), question('b', picture(6)), question('c', picture(5))]);
    expect(engine.decoded).toHaveLength(2);
    await page.call('prepare', { ...picture(5), maxTiles: 1 });
    expect(engine.decoded).toHaveLength(3);
  });

  it('forgets pictures when there are many, but none of those that are asked about', async () => {
    for (let i = 1; i <= 12; i++) await page.call('prepare', picture(i));
    expect(engine.removed).toHaveLength(3);
    const many = Array.from({ length: 12 }, (_, i) => picture(i + 1));
    await ask([question('all', ...many)]);
    expect(engine.decoded).toHaveLength(15);
  });

  it('says which picture it cannot read', async () => {
    await expect(page.call('prepare', picture(0))).rejects.toMatchObject({ code: 'bad-image' });
  });

  it('stops when it is told to, and gives what there is', async () => {
    const controller = new AbortController();
    const finished = await ask([question('hello')], controller.signal, (event) => {
      if (event.type === 'token') controller.abort();
    });
    expect(finished.reason).toBe('stopped');
  });

  it('passes on what the engine refuses', async () => {
    await expect(ask([question('bad')])).rejects.toMatchObject({ code: 'bad-request' });
  });

  it('brings a lost device back and goes on with the answer', async () => {
    let tokens = 0;
    const finished = await ask([question('hello')], undefined, (event) => {
      if (event.type === 'token' && ++tokens === 3) void page.call('loseDevice', undefined);
    });
    expect(finished.reason).toBe('stop');
    expect(engine.recoveries).toBe(1);
    expect(tokens).toBeGreaterThan(10);
    expect(devices.map((event) => event.type)).toEqual(['lost', 'recovering', 'recovered']);
  });

  it('recovers once for all that was under way, and gives up on a device that always fails', async () => {
    await page.call('loseDevice', undefined);
    await Promise.all([ask([question('a')]), ask([question('b')])]);
    expect(engine.recoveries).toBe(1);
    engine.recover = async () => undefined;
    await page.call('loseDevice', undefined);
    await expect(ask([question('c')])).rejects.toMatchObject({ code: 'device-lost' });
  });

  it('gives attention by the place of the picture in the request', async () => {
    await page.call('prepare', picture(9));
    const messages = [question('a', picture(5), picture(6))];
    const attention = await page.call('attention', { messages, answerIds: [1, 2], from: 0, to: 1 });
    expect(attention.images.map((image) => image.image)).toEqual([0, 1]);
    expect(attention.images[0]?.values).toHaveLength(6 * 12 * 8);
  });
});
