/** What may be given by name. JavaScript hands over anything, and a name that is mistyped would silently do nothing. */
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

export function checkSettings(settings: object): void {
  check('setting', settings, Object.keys(SETTINGS));
}

export function checkLoadOptions(options: object): void {
  check('option', options, Object.keys(OPTIONS));
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
