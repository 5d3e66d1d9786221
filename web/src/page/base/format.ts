/** Numbers for people. */
import type { AnswerStats } from '../../lib';

export function bytes(count: number): string {
  if (count < 1e6) return `${(count / 1e3).toFixed(count < 1e4 ? 1 : 0)} kB`;
  if (count < 1e9) return `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} MB`;
  return `${(count / 1e9).toFixed(2)} GB`;
}

export function seconds(value: number): string {
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

export function integer(value: number): string {
  return Math.round(value).toLocaleString('en');
}

/** Fewer tokens than this after the first say nothing of how fast they come. */
const LEAST_FOR_A_RATE = 8;

/** Tokens a second once the first is there, which came of reading the prompt. */
export function decodeRate({ generatedTokens, decodeSeconds }: AnswerStats): string | undefined {
  const tokens = generatedTokens - 1;
  return tokens >= LEAST_FOR_A_RATE && decodeSeconds > 0 ? perSecond(tokens / decodeSeconds) : undefined;
}

export function perSecond(value: number): string {
  return value < 100 ? value.toFixed(1) : integer(value);
}

export function parameters(count: number): string {
  return count < 1e9 ? `${(count / 1e6).toFixed(1)} M` : `${(count / 1e9).toFixed(2)} B`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${integer(count)} ${count === 1 ? one : many}`;
}
