// @vitest-environment jsdom
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { MonolensOptions } from '../src/lib';
import { MonolensError } from '../src/lib/errors';
import { ModelSession } from '../src/page/model-session';

/** A load that is under way; the test says how far it comes and how it ends. */
class FakeLoad {
  disposed = false;
  readonly model = Object.assign(new EventTarget(), {
    info: { name: 'fake', device: { kind: 'wgpu', name: 'GPU', reason: '' } },
    dispose: () => {
      this.disposed = true;
    },
  });
  #resolve: (model: unknown) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  readonly promise = new Promise<unknown>((resolve, reject) => {
    this.#resolve = resolve;
    this.#reject = reject;
  });

  constructor(
    readonly source: string,
    readonly options: MonolensOptions,
  ) {
    options.signal?.addEventListener('abort', () => void this.fail('cancelled'));
  }

  reach(stage: 'files' | 'weights'): void {
    this.options.onProgress?.({ stage, done: 1, total: 2, name: 'x' });
  }

  async succeed(): Promise<void> {
    this.reach('weights');
    this.#resolve(this.model);
    await settled();
  }

  async fail(code: 'not-found' | 'corrupt' | 'cancelled' | 'out-of-memory'): Promise<void> {
    this.#reject(new MonolensError(code, 'no'));
    await settled();
  }
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 0));
const loads: FakeLoad[] = [];

vi.mock('../src/lib', () => ({
  Monolens: {
    load: (source: string, options: MonolensOptions) => {
      const load = new FakeLoad(source, options);
      loads.push(load);
      return load.promise;
    },
  },
}));

let session: ModelSession;
let events: string[];

beforeEach(() => {
  loads.length = 0;
  events = [];
  document.body.innerHTML = '<span id="model-name"></span><div id="notices"></div><div id="load-status"></div>';
  session = makeSession({ backend: 'wgpu', context: 512 });
});

function makeSession(options: MonolensOptions): ModelSession {
  return new ModelSession(
    {
      loaded: () => events.push('loaded'),
      unloaded: () => events.push('unloaded'),
      selfTest: () => undefined,
      say: () => undefined,
      chooseFolder: () => events.push('choose folder'),
    },
    options,
    false,
  );
}

/** Begins to load `source` and gives what is under way. */
function begin(source: string, how = session.how): FakeLoad {
  void session.load(source, how);
  const load = loads.at(-1);
  if (load?.source !== source) throw new Error(`${source} is not being loaded`);
  return load;
}

const shown = () => ({
  name: document.getElementById('model-name')?.textContent,
  error: document.querySelector<HTMLElement>('[role=alert]')?.dataset.code,
  loading: document.querySelector('progress') !== null,
  buttons: [...document.querySelectorAll('button')].map((button) => button.textContent),
  text: document.getElementById('load-status')?.textContent,
});

const press = (name: string) =>
  [...document.querySelectorAll('button')].find((button) => button.textContent === name)?.click();

describe('a model that cannot be loaded', () => {
  it('costs the working one nothing where its files tell', async () => {
    const first = begin('a/');
    await first.succeed();
    const second = begin('b/');
    second.reach('files');
    expect(shown()).toMatchObject({ name: 'a', loading: true });
    await second.fail('not-found');
    expect(session.model).toBe(first.model);
    expect(session.remembered).toBe('a/');
    expect(first.disposed).toBe(false);
    expect(events).toEqual(['loaded']);
    expect(shown()).toMatchObject({ name: 'a', error: 'not-found', loading: false });
    expect(shown().text).toContain('a is still here.');
    press('Dismiss');
    expect(shown()).toMatchObject({ error: undefined, text: '' });
  });

  it('gives way to the one before where its weights tell', async () => {
    const how = { backend: 'cpu', weights: '4bit', kv: '8bit' } as const;
    const first = begin('a/', how);
    await first.succeed();
    const second = begin('b/', { backend: 'wgpu', weights: undefined, kv: undefined });
    second.reach('weights');
    expect(first.disposed).toBe(true);
    expect(shown()).toMatchObject({ name: 'b', loading: true });
    await second.fail('corrupt');
    const third = loads.at(-1);
    expect(third?.source).toBe('a/');
    expect(third?.options).toMatchObject({ ...how, context: 512 });
    expect(shown()).toMatchObject({ error: 'corrupt', loading: true });
    await third?.succeed();
    expect(session.model).toBe(third?.model);
    expect(session.how).toEqual(how);
    expect(events).toEqual(['loaded', 'unloaded', 'loaded']);
    // What was wrong stays to be read.
    expect(shown()).toMatchObject({ name: 'a', error: 'corrupt', loading: false });
  });

  it('is told with ways out where the one before fails too, and once only', async () => {
    await begin('a/').succeed();
    const second = begin('b/');
    second.reach('weights');
    await second.fail('corrupt');
    await loads.at(-1)?.fail('not-found');
    expect(loads).toHaveLength(3);
    expect(session.model).toBeUndefined();
    expect(shown()).toMatchObject({ name: 'no model', error: 'not-found', buttons: ['Try again', 'Use mono-tiny'] });
  });

  it('is told with ways out where there was none before', async () => {
    await begin('a/').fail('not-found');
    expect(loads).toHaveLength(1);
    expect(shown()).toMatchObject({ name: 'no model', buttons: ['Try again', 'Use mono-tiny'] });
    press('Try again');
    expect(loads.at(-1)?.source).toBe('a/');
    expect(shown()).toMatchObject({ error: undefined, loading: true });
  });

  it('is offered in fewer bits where memory was short', async () => {
    session = makeSession({ backend: 'wgpu' });
    await begin('a/').succeed();
    const second = begin('b/', { backend: 'wgpu', weights: '8bit', kv: undefined });
    second.reach('weights');
    await second.fail('out-of-memory');
    await loads.at(-1)?.succeed();
    press('Try with 4 bits');
    expect(loads.at(-1)).toMatchObject({ source: 'b/', options: { weights: '4bit', kv: '8bit' } });
    await loads.at(-1)?.fail('out-of-memory');
    expect(shown().buttons).toContain('Try again');
  });

  it('is no fault where the visitor ended it, and the working one stays', async () => {
    const first = begin('a/');
    await first.succeed();
    begin('b/').reach('files');
    press('Cancel');
    await settled();
    expect(session.model).toBe(first.model);
    expect(shown()).toMatchObject({ name: 'a', error: undefined, loading: false });
    expect(shown().text).toContain('Loading was cancelled.');
  });
});

describe('a context that the address asks for', () => {
  it('is named where it does not fit, and the model can be loaded without it', async () => {
    await begin('a/').fail('out-of-memory');
    expect(shown().text).toContain('a smaller context than the address of this page asks for');
    expect(loads.at(-1)?.options.context).toBe(512);
    press("Try with the model's own context");
    expect(loads.at(-1)).toMatchObject({ source: 'a/' });
    expect(loads.at(-1)?.options.context).toBeUndefined();
    // Then it is the weights.
    await loads.at(-1)?.fail('out-of-memory');
    expect(shown().buttons).toContain('Try with 4 bits');
  });
});

describe('a newer choice', () => {
  it('takes over, and the model that worked last comes back where it fails', async () => {
    await begin('a/').succeed();
    const second = begin('b/');
    second.reach('weights');
    const third = begin('c/');
    await settled();
    expect(shown()).toMatchObject({ name: 'c', error: undefined, loading: true });
    // Late news of the one that was given up.
    second.reach('weights');
    await third.fail('not-found');
    expect(loads.at(-1)?.source).toBe('a/');
    await loads.at(-1)?.succeed();
    expect(shown()).toMatchObject({ name: 'a', error: 'not-found' });
  });
});

it('the choice of precision reaches the library, and no choice is none', async () => {
  const load = begin('a/', { backend: 'auto', weights: undefined, kv: '8bit' });
  expect(load.options).toMatchObject({ backend: 'auto', kv: '8bit', context: 512 });
  expect('weights' in load.options).toBe(false);
});

describe('the model of the last visit', () => {
  const wanted = () => document.getElementById('notice-folder');

  it('is loaded, or the bundled one where there is none', async () => {
    session.remembered = 'b/';
    await Promise.all([session.loadRemembered('bundled/'), loads.at(-1)?.succeed()]);
    expect(loads.map(({ source }) => source)).toEqual(['b/']);
  });

  it('is asked for where it was chosen from this computer, until it or another one is there', async () => {
    session.remembered = { folder: 'my-model' };
    const asked = session.loadRemembered('bundled/');
    await loads.at(-1)?.succeed();
    await asked;
    expect(shown()).toMatchObject({ name: 'bundled' });
    expect(wanted()?.textContent).toContain('"my-model"');
    // The one that stands in for it does not take its place for the next visit.
    expect(session.remembered).toEqual({ folder: 'my-model' });
    press('Choose the folder again');
    expect(events).toContain('choose folder');
    const file = Object.assign(new File([], 'config.json'), { webkitRelativePath: 'other/config.json' });
    void session.load([file]);
    await loads.at(-1)?.succeed();
    expect(wanted()).toBeNull();
    expect(session.remembered).toEqual({ folder: 'other' });
  });

  it('is asked for where the browser wants the visitor to allow it', async () => {
    let allowed = 'prompt';
    const folder = {
      name: 'kept',
      getFileHandle: () => undefined,
      queryPermission: async () => allowed,
      requestPermission: async () => {
        allowed = 'granted';
        return allowed;
      },
    } as unknown as FileSystemDirectoryHandle;
    session.remembered = folder;
    void session.loadRemembered('bundled/');
    await settled();
    await loads.at(-1)?.succeed();
    expect(session.remembered).toBe(folder);
    press('Open "kept" again');
    await settled();
    expect(loads.at(-1)?.source).toBe(folder);
    expect(wanted()).toBeNull();
  });
});
