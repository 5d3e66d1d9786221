/** Which options and settings there are, and what each must be: what is mistyped would silently do nothing. */
import type { Settings } from '../engine/contract';
import { type Check, demand, expecting, FLAG, FUNCTION, made, OBJECT, oneOf, real, whole } from './checks';
import { MonolensError } from './errors';
import type { AttentionOptions, ChatOptions, MonolensOptions, PrepareOptions } from './monolens';

type Checks<T> = Record<keyof T, Check | [Check]>;

const WEIGHTS = /^[48]bit(-g(32|64|128|256|512|1024))?$/;
const SIGNAL = made('AbortSignal');

/** What the command line takes too. */
export const TILES = whole(1, 65_535);

/** As records, so that the compiler misses a name that is not here. */
const SETTINGS: Checks<Settings> = {
  temperature: real('of 0 or more', (value) => value >= 0),
  topK: whole(0),
  topP: real('over 0 and up to 1', (value) => value > 0 && value <= 1),
  repetitionPenalty: real('over 0', (value) => value > 0),
  seed: whole(0, Number.MAX_SAFE_INTEGER),
  maxNewTokens: whole(1),
  stop: [expecting('a text of at least one character', (value) => typeof value === 'string' && value !== '')],
  keepTags: FLAG,
};

const OPTIONS: Record<keyof MonolensOptions, Check> = {
  onProgress: FUNCTION,
  signal: SIGNAL,
  backend: oneOf('auto', 'wgpu', 'cpu'),
  cache: FLAG,
  allowSoftware: FLAG,
  tier: oneOf('baseline', 'half', 'subgroups', 'matrix'),
  context: whole(1),
  weights: expecting(
    '8bit or 4bit, perhaps with a group of 32 to 1024 (4bit-g32)',
    (value) => typeof value === 'string' && WEIGHTS.test(value),
  ),
  kv: oneOf('8bit', 'bf16', 'f32'),
};

const CHAT: Checks<ChatOptions> = { ...SETTINGS, signal: SIGNAL, onEvent: FUNCTION };
const PREPARE: Checks<PrepareOptions> = { maxTiles: TILES, signal: SIGNAL };
const ATTENTION: Checks<AttentionOptions> = { from: whole(0), to: whole(0), signal: SIGNAL };

/** What every call that takes options knows of them. */
const KNOWN = {
  load: OPTIONS,
  chat: CHAT,
  prepare: PREPARE,
  attention: ATTENTION,
  selfTest: { signal: SIGNAL },
};

export type CheckedOption = keyof MonolensOptions;

/** What is expected of an option's value, where it is not that. */
export function expectedOf(option: CheckedOption, value: unknown): string | undefined {
  return OPTIONS[option](value);
}

/** Refuses options that the call does not know, and values that are none. */
export function checkOptions(call: keyof typeof KNOWN, given: object): void {
  demand('options', given, OBJECT);
  const checks: Record<string, Check | [Check]> = KNOWN[call];
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(checks, name)) unknown(call === 'chat' ? 'setting' : 'option', name, Object.keys(checks));
  }
  for (const [name, check] of Object.entries(checks)) {
    const value = (given as Record<string, unknown>)[name];
    if (value !== undefined) demand(name, value, check);
  }
}

function unknown(what: string, name: string, known: string[]): never {
  const [nearest] = known
    .map((other) => ({ other, wrong: distance(plain(name), plain(other)) }))
    // Of `temprature` and `max_tokens` it is plain what is meant, of `n` it is not.
    .filter(({ other, wrong }) => wrong <= other.length / 3)
    .sort((a, b) => a.wrong - b.wrong);
  const hint = nearest ? `did you mean "${nearest.other}"?` : `there are ${known.join(', ')}`;
  throw new MonolensError('bad-request', `there is no ${what} "${name}"; ${hint}`);
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
