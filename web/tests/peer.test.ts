import { expect, it } from 'vitest';
import { type Method, Peer, type Port } from '../src/engine/peer';
import { MonolensError } from '../src/lib/errors';

interface Far {
  add: Method<{ a: number; b: number }, number>;
  count: Method<number, string, number>;
  fail: Method<undefined, void>;
  forever: Method<undefined, string>;
  ask: Method<string, string>;
  bytes: Method<number, Uint8Array>;
}

interface Near {
  upper: Method<string, string>;
}

function pair() {
  const { port1, port2 } = new MessageChannel();
  const far: { peer?: Peer<Near> } = {};
  far.peer = new Peer<Near>(port2 as Port, {
    add: ({ a, b }: { a: number; b: number }) => a + b,
    count: async (to: number, { emit }: { emit(n: number): void }) => {
      for (let i = 0; i < to; i++) emit(i);
      return 'done';
    },
    fail: () => {
      throw new MonolensError('context-full', 'too long');
    },
    forever: (_: undefined, { signal }: { signal: AbortSignal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    ask: (text: string) => far.peer?.call('upper', text),
    bytes: (length: number) => new Uint8Array(length).fill(7),
  });
  const near = new Peer<Far>(port1 as Port, { upper: (text: string) => text.toUpperCase() });
  port1.start();
  port2.start();
  return { near, close: () => port1.close() };
}

it('calls, with events, errors and calls in the other direction', async () => {
  const { near, close } = pair();
  expect(await near.call('add', { a: 2, b: 3 })).toBe(5);
  const seen: number[] = [];
  expect(await near.call('count', 3, { onEvent: (n) => seen.push(n) })).toBe('done');
  expect(seen).toEqual([0, 1, 2]);
  await expect(near.call('fail', undefined)).rejects.toMatchObject({
    name: 'MonolensError',
    code: 'context-full',
    message: 'too long',
  });
  expect(await near.call('ask', 'hello')).toBe('HELLO');
  expect(await near.call('bytes', 3)).toEqual(new Uint8Array([7, 7, 7]));
  close();
});

it('passes an abort on, and refuses calls that are aborted before they begin', async () => {
  const { near, close } = pair();
  const controller = new AbortController();
  const call = near.call('forever', undefined, { signal: controller.signal });
  controller.abort();
  await expect(call).rejects.toMatchObject({ code: 'cancelled' });
  await expect(near.call('add', { a: 1, b: 1 }, { signal: controller.signal })).rejects.toMatchObject({
    code: 'cancelled',
  });
  close();
});

it('ends everything that is under way when it is closed', async () => {
  const { near, close } = pair();
  const call = near.call('forever', undefined);
  near.close(new MonolensError('internal', 'the worker died'));
  await expect(call).rejects.toMatchObject({ code: 'internal', message: 'the worker died' });
  await expect(near.call('add', { a: 1, b: 1 })).rejects.toMatchObject({ code: 'internal' });
  close();
});
