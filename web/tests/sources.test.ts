import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { codeOf } from '../src/lib/errors';
import { LocalFiles } from '../src/sources/local-files';
import { parseManifest } from '../src/sources/manifest';
import { modelFolder } from '../src/sources/model-url';
import { sha256, sha256Slow } from '../src/sources/sha256';
import { testBytes } from './file-server';

const codeThrownBy = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return codeOf(error);
  }
  return 'nothing thrown';
};

describe('SHA-256', () => {
  it('is the same as the standard library gives, at every length around a block', async () => {
    for (const length of [...Array(140).keys(), 1000, 65_537]) {
      const bytes = testBytes(length);
      const expected = createHash('sha256').update(bytes).digest('hex');
      expect(sha256Slow(bytes)).toBe(expected);
      expect(await sha256(bytes)).toBe(expected);
    }
  });
});

describe('manifest.json', () => {
  const file = { size: 5, sha256: 'ab', chunks: ['x', 'y'] };

  it('is read', () => {
    expect(parseManifest(JSON.stringify({ chunkBytes: 4, files: { a: file } }))).toEqual({
      chunkBytes: 4,
      files: { a: file },
    });
  });

  it.each([
    ['something else', '{"name": "an app"}'],
    ['no JSON', '<!doctype html>'],
    ['null', 'null'],
    ['a wrong number of chunks', JSON.stringify({ chunkBytes: 8, files: { a: file } })],
    ['chunks of nothing', JSON.stringify({ chunkBytes: 0, files: {} })],
    ['a size that is none', JSON.stringify({ chunkBytes: 4, files: { a: { ...file, size: -5 } } })],
  ])('is ignored where it is %s', (_, text) => {
    expect(parseManifest(text)).toBeUndefined();
  });
});

describe("a model's URL", () => {
  it.each([
    [
      'https://huggingface.co/OpenGVLab/Mono-InternVL-2B',
      'https://huggingface.co/OpenGVLab/Mono-InternVL-2B/resolve/main/',
    ],
    ['https://huggingface.co/a/b/tree/v1', 'https://huggingface.co/a/b/resolve/v1/'],
    ['https://huggingface.co/a/b/resolve/main/', 'https://huggingface.co/a/b/resolve/main/'],
    ['https://huggingface.co/a/b/blob/main/config.json?x=1#y', 'https://huggingface.co/a/b/resolve/main/'],
    ['https://example.org/models/tiny', 'https://example.org/models/tiny/'],
    ['https://example.org', 'https://example.org/'],
    ['models/mono-tiny/', 'https://page.test/demo/models/mono-tiny/'],
  ])('%s is the folder %s', (url, folder) => {
    expect(modelFolder(url, 'https://page.test/demo/index.html')).toBe(folder);
  });

  it('must be one that can be read from', () => {
    expect(codeThrownBy(() => modelFolder('file:///etc/'))).toBe('bad-request');
    expect(codeThrownBy(() => modelFolder('not a url'))).toBe('bad-request');
  });
});

describe('chosen files', () => {
  const file = (path: string, content: string) => {
    const made = new File([content], path.split('/').at(-1) ?? '');
    Object.defineProperty(made, 'webkitRelativePath', { value: path });
    return made;
  };

  it('are read in slices', async () => {
    const files = new LocalFiles([file('tiny/config.json', '{}'), file('tiny/model.safetensors', '0123456789')]);
    expect(await files.size('model.safetensors')).toBe(10);
    expect(new TextDecoder().decode(await files.read('model.safetensors', 3, 6))).toBe('345');
    expect(await files.size('tokenizer.model')).toBeUndefined();
  });

  it('are those beside the uppermost config.json', async () => {
    const files = new LocalFiles([
      file('a/inner/config.json', 'inner'),
      file('a/config.json', 'outer'),
      file('a/x', '1'),
    ]);
    expect(await files.size('config.json')).toBe(5);
    expect(await files.size('x')).toBe(1);
    expect(await files.size('inner/config.json')).toBe(5);
  });

  it('must be a model, and as long as they were', async () => {
    expect(codeThrownBy(() => new LocalFiles([file('a/cat.png', '')]))).toBe('not-found');
    const files = new LocalFiles([file('config.json', '{}')]);
    await expect(files.read('config.json', 0, 3)).rejects.toMatchObject({ code: 'wrong-size' });
    await expect(files.read('other', 0, 3)).rejects.toMatchObject({ code: 'not-found' });
  });
});
