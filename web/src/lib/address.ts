import { MonolensError } from './errors';

/** What relative addresses are relative to, also where the library itself runs in a worker. */
export function base(): string {
  return typeof document === 'undefined' ? location.href : document.baseURI;
}

export function absolute(url: string): string {
  try {
    return new URL(url, base()).href;
  } catch {
    throw new MonolensError('bad-request', `"${url}" is no URL`);
  }
}
