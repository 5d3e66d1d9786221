/** What a value must be, and the error where it is not: JavaScript hands over anything. */
import { MonolensError } from './errors';

/** What is expected of a value, where it is not that. */
export type Check = (value: unknown) => string | undefined;

/** The most that crosses to the engine as a size or an id. */
const U32 = 2 ** 32 - 1;

export function expecting(expected: string, is: (value: unknown) => boolean): Check {
  return (value) => (is(value) ? undefined : expected);
}

export function oneOf(...words: string[]): Check {
  return expecting(`${words.slice(0, -1).join(', ')} or ${words.at(-1)}`, (value) => words.includes(value as string));
}

export function whole(least: 0 | 1, most = U32): Check {
  const expected = least === 0 ? 'a whole number of 0 or more' : 'a whole number over 0';
  return (value) => {
    if (!Number.isInteger(value) || Number(value) < least) return expected;
    return Number(value) > most ? `at most ${most}` : undefined;
  };
}

/** The engine computes with 32 bits: what becomes infinite or 0 in them is out of range too. */
export function real(range: string, is: (value: number) => boolean): Check {
  const inRange = (value: number) => Number.isFinite(value) && is(value);
  return expecting(`a number ${range}`, (value) => typeof value === 'number' && inRange(Math.fround(value)));
}

/** Not by `instanceof`: an object may come from another frame. */
export function made(by: string): Check {
  return expecting(`${/^[AEI]/.test(by) ? 'an' : 'a'} ${by}`, (value) => isA(value, by));
}

export function isA(value: unknown, ...classes: string[]): boolean {
  return classes.includes(Object.prototype.toString.call(value).slice(8, -1));
}

export const TEXT = expecting('a text', (value) => typeof value === 'string');
export const FLAG = expecting('true or false', (value) => typeof value === 'boolean');
export const FUNCTION = expecting('a function', (value) => typeof value === 'function');
export const OBJECT = expecting(
  'an object',
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
);
export const LIST = expecting('a list', Array.isArray);
export const URL_TEXT = expecting('a URL', (value) => typeof value === 'string' || isA(value, 'URL'));
export const FILE = made('File');
export const BLOB = expecting('a Blob', (value) => isA(value, 'Blob', 'File'));

/** Refuses a value that is not what `check` says, or of a list (`[check]`) the first thing that is not. */
export function demand(name: string, value: unknown, check: Check | [Check]): void {
  if (typeof check === 'function') {
    const expected = check(value);
    if (expected) refuse(name, expected, value);
    return;
  }
  demand(name, value, LIST);
  for (const [i, one] of (value as unknown[]).entries()) demand(`${name}[${i}]`, one, check[0]);
}

export function refuse(name: string, expected: string, value: unknown): never {
  throw new MonolensError('bad-request', `${name}: expected ${expected}, got ${shown(value)}`);
}

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
