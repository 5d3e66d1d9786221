// @vitest-environment jsdom
import { expect, it } from 'vitest';
import { address, checkReachable } from '../src/page/base/address';

it.each([
  ['OpenGVLab/Mono-InternVL-2B', 'https://huggingface.co/OpenGVLab/Mono-InternVL-2B'],
  [' https://example.org/model/ ', 'https://example.org/model/'],
  ['example.org/model', 'https://example.org/model'],
  ['huggingface.co/OpenGVLab/Mono-InternVL-2B', 'https://huggingface.co/OpenGVLab/Mono-InternVL-2B'],
  ['http://localhost:8000/', 'http://localhost:8000/'],
  ['ftp://example.org/', 'ftp://example.org/'],
])('%s is written out', (written, meant) => {
  expect(address(written)).toBe(meant);
});

it('what the page could never read is refused at once, with the reason', () => {
  const refused = (url: string, forbidsHttp = true, own = 'http://192.168.0.9:8000') => {
    try {
      checkReachable(url, forbidsHttp, own);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(refused('ftp://x/y')).toBe('models are read over http and https, not ftp:');
  expect(refused('file:///etc')).toContain('not file:');
  expect(refused('https://')).toBe('"https://" is no URL');
  expect(refused('http://nas/model')).toMatch(/over https, and over http from this computer only, got http:\/\/nas$/);
  for (const fine of ['https://nas/model', 'http://localhost:80/', 'http://127.0.0.1/', 'http://192.168.0.9:8000/m/']) {
    expect(refused(fine)).toBeUndefined();
  }
  // A page without the policy, as in development.
  expect(refused('http://nas/model', false)).toBeUndefined();
});
