import type { MonolensOptions } from '../../lib';
import { type CheckedOption, expectedOf } from '../../lib/known';

/** The self-test of the device and the example pictures, beside the page. */
export const SELF_TEST = 'selftest/';
export const EXAMPLES = 'examples/';

/** With fewer tokens than this not even a short question and its answer have room. */
const LEAST_CONTEXT = 64;

/** What the page's own URL may say, for tests and for the curious; `README.md` has the list. */
export interface Params {
  model: string | undefined;
  selfTest: boolean;
  options: Pick<MonolensOptions, 'backend' | 'tier' | 'allowSoftware' | 'context' | 'weights' | 'kv'>;
  /** What was said there and is not used, each with what is expected. */
  refused: string[];
}

export function params(search: string): Params {
  const query = new URLSearchParams(search);
  const refused: string[] = [];
  const options: Record<string, unknown> = query.get('software') === '1' ? { allowSoftware: true } : {};
  for (const name of ['backend', 'tier', 'weights', 'kv', 'context'] satisfies CheckedOption[]) {
    const given = query.get(name);
    if (given === null || given === '') continue;
    const value = name === 'context' ? Number(given) : given;
    const tooFew = name === 'context' && Number(value) < LEAST_CONTEXT;
    const expected = expectedOf(name, value) ?? (tooFew ? `${LEAST_CONTEXT} or more` : undefined);
    if (expected) refused.push(`"${name}=${given}" (expected ${expected})`);
    else options[name] = value;
  }
  return {
    model: query.get('model') || undefined,
    selfTest: query.get('selftest') !== '0',
    options: options as Params['options'],
    refused,
  };
}
