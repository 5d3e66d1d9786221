import type { BackendName, MonolensOptions } from '../../lib';

/** The self-test of the device and the example pictures, beside the page. */
export const SELF_TEST = 'selftest/';
export const EXAMPLES = 'examples/';

/** What the page's own URL may say, for tests and for the curious; `README.md` has the list. */
export interface Params {
  model: string | undefined;
  selfTest: boolean;
  options: Pick<MonolensOptions, 'backend' | 'tier' | 'allowSoftware' | 'context' | 'weights' | 'kv'>;
}

export function params(search: string): Params {
  const query = new URLSearchParams(search);
  const backend = query.get('backend');
  const tier = query.get('tier');
  const weights = query.get('weights');
  const kv = query.get('kv');
  const context = Number(query.get('context') ?? Number.NaN);
  return {
    model: query.get('model') ?? undefined,
    selfTest: query.get('selftest') !== '0',
    options: {
      ...(isBackend(backend) ? { backend } : {}),
      ...(tier ? { tier } : {}),
      ...(query.get('software') === '1' ? { allowSoftware: true } : {}),
      ...(weights ? { weights } : {}),
      ...(kv ? { kv } : {}),
      ...(Number.isInteger(context) && context > 0 ? { context } : {}),
    },
  };
}

export function isBackend(value: string | null): value is BackendName {
  return value === 'auto' || value === 'wgpu' || value === 'cpu';
}
