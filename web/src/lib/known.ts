/** What may be given. JavaScript hands over anything, and what is mistyped would silently do nothing. */
import type { Settings } from '../engine/contract';
import { MonolensError } from './errors';
import type { MonolensOptions } from './monolens';

/** As records, so that the compiler misses a name that is not here. */
const SETTINGS: Record<keyof Settings, true> = {
  temperature: true,
  topK: true,
  topP: true,
  repetitionPenalty: true,
  seed: true,
  maxNewTokens: true,
  stop: true,
  keepTags: true,
};

const OPTIONS: Record<keyof MonolensOptions, true> = {
  onProgress: true,
  signal: true,
  backend: true,
  cache: true,
  allowSoftware: true,
  tier: true,
  context: true,
  weights: true,
  kv: true,
};

const WEIGHTS = /^[48]bit(-g(32|64|128|256|512|1024))?$/;

/** What the values of some options must be: in words, and whether one is. */
const VALUES = {
  backend: ['auto, wgpu or cpu', (value) => ['auto', 'wgpu', 'cpu'].includes(String(value))],
  tier: [
    'baseline, half, subgroups or matrix',
    (value) => ['baseline', 'half', 'subgroups', 'matrix'].includes(String(value)),
  ],
  weights: ['8bit or 4bit, perhaps with a group of 32 to 1024 (4bit-g32)', (value) => WEIGHTS.test(String(value))],
  kv: ['8bit, bf16 or f32', (value) => ['8bit', 'bf16', 'f32'].includes(String(value))],
  context: ['a whole number over 0', (value) => Number.isSafeInteger(value) && Number(value) > 0],
} satisfies Partial<Record<keyof MonolensOptions, [expected: string, is: (value: unknown) => boolean]>>;

export type CheckedOption = keyof typeof VALUES;

/** What is expected of an option's value, where it is not that. */
export function expectedOf(option: CheckedOption, value: unknown): string | undefined {
  const [expected, is] = VALUES[option];
  return is(value) ? undefined : expected;
}

export function checkSettings(settings: object): void {
  check('setting', settings, Object.keys(SETTINGS));
}

export function checkLoadOptions(options: MonolensOptions): void {
  check('option', options, Object.keys(OPTIONS));
  for (const option of Object.keys(VALUES) as CheckedOption[]) {
    const value = options[option];
    const expected = value === undefined ? undefined : expectedOf(option, value);
    if (expected)
      throw new MonolensError('bad-request', `${option}: expected ${expected}, got ${JSON.stringify(value)}`);
  }
}

function check(what: string, given: object, known: string[]): void {
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    const [nearest] = known
      .map((other) => ({ other, wrong: distance(plain(name), plain(other)) }))
      // Of `temprature` and `max_tokens` it is plain what is meant, of `n` it is not.
      .filter(({ other, wrong }) => wrong <= other.length / 3)
      .sort((a, b) => a.wrong - b.wrong);
    const hint = nearest ? `did you mean "${nearest.other}"?` : `there are ${known.join(', ')}`;
    throw new MonolensError('bad-request', `there is no ${what} "${name}"; ${hint}`);
  }
}

/** A name without what is only a way to write it: `top_p` is `topP`. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z]/g, '');
}

/** Letters to insert, remove or change to make one word of the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
