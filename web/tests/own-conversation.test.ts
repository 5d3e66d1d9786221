// @vitest-environment jsdom
import { beforeEach, expect, it, vi } from 'vitest';
import { ownConversation } from '../src/page/chat/own-conversation';

/** The browser's locks, of which each is given to one tab at a time. */
class FakeLocks {
  #held = new Map<string, () => void>();
  #waiting = new Map<string, () => void>();

  async request(name: string, options: LockOptions, hold: (lock: Lock | null) => unknown): Promise<void> {
    if (this.#held.has(name)) {
      if (options.ifAvailable) return void hold(null);
      await new Promise<void>((resolve, reject) => {
        this.#waiting.set(name, resolve);
        options.signal?.addEventListener('abort', () => reject(options.signal?.reason));
      });
    }
    this.#held.set(name, () => undefined);
    await hold({ name, mode: 'exclusive' });
  }

  /** The tab that has it is closed. */
  free(name: string): void {
    this.#held.delete(`conversation ${name}`);
    this.#waiting.get(`conversation ${name}`)?.();
  }
}

let locks: FakeLocks;
/** Opens the page in a tab with this memory, and gives the conversation that it has. */
async function tab(memory: Storage, type: 'navigate' | 'reload' = 'navigate') {
  vi.stubGlobal('sessionStorage', memory);
  vi.spyOn(performance, 'getEntriesByType').mockReturnValue([{ type } as unknown as PerformanceEntry]);
  return ownConversation(locks as unknown as LockManager);
}

function memory(): Storage {
  const items = new Map<string, string>();
  const storage: Partial<Storage> = {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
  };
  return storage as Storage;
}

beforeEach(() => {
  locks = new FakeLocks();
});

it('each tab has a conversation of its own, and the first that is free', async () => {
  expect(await tab(memory())).toEqual({ name: 'monolens', elsewhere: false });
  expect(await tab(memory())).toEqual({ name: 'monolens-2', elsewhere: true });
  locks.free('monolens');
  expect(await tab(memory())).toEqual({ name: 'monolens', elsewhere: false });
});

it('a tab that is reloaded has the one that it had, though the page before still lets go of it', async () => {
  await tab(memory());
  const own = memory();
  await tab(own);
  // Another one is free by now.
  locks.free('monolens');
  const reloaded = tab(own, 'reload');
  setTimeout(() => locks.free('monolens-2'), 20);
  // The other tab may be closed by now, so nothing is said of it.
  expect(await reloaded).toEqual({ name: 'monolens-2', elsewhere: false });
});

it('a tab that is duplicated has another one at once', async () => {
  const own = memory();
  await tab(own);
  expect((await tab(own)).name).toBe('monolens-2');
});

it('pages without locks and memory have the first one', async () => {
  const none = new Proxy({} as Storage, {
    get: () => {
      throw new DOMException('forbidden', 'SecurityError');
    },
  });
  expect((await tab(none)).name).toBe('monolens');
  expect(await ownConversation(undefined)).toEqual({ name: 'monolens', elsewhere: false });
});
