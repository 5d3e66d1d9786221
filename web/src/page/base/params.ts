import type { MonolensOptions } from '../../lib';
import { type CheckedOption, expectedOf } from '../../lib/known';

/** The self-test of the device and the example pictures, beside the page. */
export const SELF_TEST = 'selftest/';
export const EXAMPLES = 'examples/';

/** With fewer tokens than this not even a short question and its answer have room; with more no engine begins. */
const LEAST_CONTEXT = 64;
const MOST_CONTEXT = 2 ** 24;

const OPTIONS = ['backend', 'tier', 'weights', 'kv', 'context'] satisfies CheckedOption[];
const SWITCHES = ['selftest', 'software'];
const NAMES: string[] = ['model', ...OPTIONS, ...SWITCHES];

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
  const refuse = (name: string, expected: string) =>
    refused.push(`"${name}=${query.get(name)}" (expected ${expected})`);
  for (const name of OPTIONS) {
    const given = query.get(name);
    if (given === null || given === '') continue;
    const value = name === 'context' ? Number(given) : given;
    const expected = expectedOf(name, value) ?? (name === 'context' ? expectedContext(Number(value)) : undefined);
    if (expected) refuse(name, expected);
    else options[name] = value;
  }
  for (const name of SWITCHES) {
    const given = query.get(name);
    if (given && given !== '0' && given !== '1') refuse(name, '0 or 1');
  }
  // Other names are other people's: links are marked with them.
  for (const name of new Set(query.keys())) {
    const known = NAMES.find((own) => own === name.toLowerCase());
    if (known && known !== name) refuse(name, `the name ${known}`);
    if (known && query.getAll(name).length > 1) refused.push(`a second "${name}"`);
  }
  return {
    model: query.get('model') || undefined,
    selfTest: query.get('selftest') !== '0',
    options: options as Params['options'],
    refused,
  };
}

function expectedContext(tokens: number): string | undefined {
  if (tokens < LEAST_CONTEXT) return `${LEAST_CONTEXT} or more`;
  return tokens > MOST_CONTEXT ? `${MOST_CONTEXT} or fewer` : undefined;
}
