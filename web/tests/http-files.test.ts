import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MonolensError } from '../src/lib/errors';
import { HttpFiles, type HttpOptions, type SourceProgress } from '../src/sources/http-files';
import { freeModels, listModels, type OpfsStore, openStore } from '../src/sources/opfs-store';
import { FakeDirectory, type FakeFile } from './fake-opfs';
import { FileServer, manifestOf, testBytes } from './file-server';

const WEIGHTS = 'model.safetensors';
const CHUNK = 1000;
const SIZE = 10 * CHUNK + 123;
const MIB = 1024 * 1024;

let server: FileServer;
let url: string;
let disk: FakeDirectory;
let store: OpfsStore;
let progress: SourceProgress | undefined;

beforeEach(async () => {
  server = new FileServer();
  url = await server.start();
  disk = new FakeDirectory();
  store = await openStore(disk.handle(), url);
  progress = undefined;
  server.files.set('config.json', new TextEncoder().encode('{}'));
  server.files.set(WEIGHTS, testBytes(SIZE));
});

afterEach(() => server.stop());

function open(options: HttpOptions = { store }): HttpFiles {
  return new HttpFiles(url, {
    delays: [1, 1],
    onProgress: (now) => {
      progress = now;
    },
    ...options,
  });
}

function withManifest(): void {
  server.files.set('manifest.json', manifestOf(server.files, CHUNK));
}

/** The stored chunk `index` of the weights. */
async function storedChunk(index: number): Promise<FakeFile> {
  for (const folder of disk.entries_.values()) {
    if (folder instanceof FakeDirectory) return folder.getFileHandle(`${WEIGHTS}.${index}`);
  }
  throw new Error('no folder');
}

function cutTheNetwork(): void {
  server.intercept = (_name, _request, response) => {
    response.destroy();
    return true;
  };
}

async function failure(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => 'nothing failed',
    (reason: unknown) => reason,
  );
  return error instanceof MonolensError ? error.code : String(error);
}

describe('with a manifest', () => {
  beforeEach(withManifest);

  it('reads any range, across chunks, and asks for each chunk once', async () => {
    const files = open();
    const bytes = server.files.get(WEIGHTS) as Uint8Array;
    expect(await files.size(WEIGHTS)).toBe(SIZE);
    for (const [from, to] of [
      [0, 10],
      [990, 1010],
      [0, SIZE],
      [2500, 7300],
      [SIZE - 1, SIZE],
      [5, 5],
    ] as const) {
      expect(Buffer.from(await files.read(WEIGHTS, from, to)).equals(bytes.subarray(from, to))).toBe(true);
    }
    expect(server.requests(WEIGHTS)).toHaveLength(11);
    expect(progress).toMatchObject({ downloaded: SIZE + (server.files.get('manifest.json') as Uint8Array).length });
  });

  it('knows what is absent without asking', async () => {
    const files = open();
    expect(await files.size('added_tokens.json')).toBeUndefined();
    expect(server.requests('added_tokens.json')).toHaveLength(0);
  });

  it('reads nothing again on the next visit', async () => {
    await open().read(WEIGHTS, 0, SIZE);
    server.log = [];
    const bytes = await open().read(WEIGHTS, 0, SIZE);
    expect(Buffer.from(bytes).equals(server.files.get(WEIGHTS) as Uint8Array)).toBe(true);
    expect(server.requests(WEIGHTS)).toHaveLength(0);
    expect(progress?.cached).toBe(SIZE);
  });

  it('goes on after a cut download where it was', async () => {
    server.intercept = (name, request, response) => {
      if (name !== WEIGHTS || Number(/\d+/.exec(request.headers.range ?? '')?.[0]) < 5 * CHUNK) return false;
      response.destroy();
      return true;
    };
    expect(await failure(open().read(WEIGHTS, 0, SIZE))).toBe('network');
    server.intercept = undefined;
    server.log = [];
    const bytes = await open().read(WEIGHTS, 0, SIZE);
    expect(Buffer.from(bytes).equals(server.files.get(WEIGHTS) as Uint8Array)).toBe(true);
    // A set: what was read ahead of the failed read may still be trying.
    const missing = [5, 6, 7, 8, 9, 10].map((i) => `bytes=${i * CHUNK}-${Math.min((i + 1) * CHUNK, SIZE) - 1}`);
    expect(new Set(server.requests(WEIGHTS).map((entry) => entry.range))).toEqual(new Set(missing));
  });

  it.each([
    ['a changed byte', (bytes: Uint8Array) => bytes.with(17, (bytes[17] ?? 0) ^ 1)],
    ['a cut file', (bytes: Uint8Array) => bytes.slice(0, 400)],
    ['an empty file', () => new Uint8Array()],
  ])('finds %s in the store and fetches that chunk again', async (_, damage) => {
    await open().read(WEIGHTS, 0, SIZE);
    server.log = [];
    const chunk = await storedChunk(3);
    chunk.bytes = new Uint8Array(damage(chunk.bytes));
    const bytes = await open().read(WEIGHTS, 0, SIZE);
    expect(Buffer.from(bytes).equals(server.files.get(WEIGHTS) as Uint8Array)).toBe(true);
    expect(server.requests(WEIGHTS)).toHaveLength(1);
    expect(progress?.repaired).toBe(1);
    server.log = [];
    await open().read(WEIGHTS, 0, SIZE);
    expect(server.requests(WEIGHTS)).toHaveLength(0);
  });

  it('fetches what the manifest says is new', async () => {
    await open().read(WEIGHTS, 0, SIZE);
    server.files.set(WEIGHTS, testBytes(SIZE, 2));
    server.files.delete('manifest.json');
    withManifest();
    const bytes = await open().read(WEIGHTS, 0, SIZE);
    expect(Buffer.from(bytes).equals(server.files.get(WEIGHTS) as Uint8Array)).toBe(true);
  });

  it('refuses bytes that are not the published ones, after a second try', async () => {
    const bytes = testBytes(SIZE);
    bytes[2345] = (bytes[2345] ?? 0) ^ 0x40;
    server.files.set(WEIGHTS, bytes);
    const files = open();
    expect(await failure(files.read(WEIGHTS, 2000, 2001))).toBe('corrupt');
    expect(server.requests(WEIGHTS).filter(({ range }) => range === 'bytes=2000-2999')).toHaveLength(2);
  });

  it('refuses a file that is shorter than published', async () => {
    server.files.set(WEIGHTS, testBytes(SIZE).slice(0, SIZE - 50));
    expect(await failure(open().read(WEIGHTS, 0, SIZE))).toBe('wrong-size');
  });

  it('works on a server without ranges, also without a store', async () => {
    server.ranges = false;
    for (const options of [{ store }, {}]) {
      server.log = [];
      const bytes = await open(options).read(WEIGHTS, 0, SIZE);
      expect(Buffer.from(bytes).equals(testBytes(SIZE))).toBe(true);
      expect(server.requests(WEIGHTS).length).toBeLessThanOrEqual(3);
    }
    expect(progress?.caching).toBe('off');
  });

  it('works without the network once all is stored', async () => {
    await open().read(WEIGHTS, 0, SIZE);
    cutTheNetwork();
    const told: unknown[] = [];
    const bytes = await open({ store, onProgress: ({ retry }) => retry && told.push(retry) }).read(WEIGHTS, 0, SIZE);
    expect(Buffer.from(bytes).equals(testBytes(SIZE))).toBe(true);
    // Nobody had to wait for tries that were bound to fail.
    expect(told).toEqual([]);
  });

  it('works when the storage is full, and says so', async () => {
    disk.disk.quota = 5 * CHUNK;
    const bytes = await open().read(WEIGHTS, 0, SIZE);
    expect(Buffer.from(bytes).equals(testBytes(SIZE))).toBe(true);
    expect(progress?.caching).toBe('full');
  });
});

describe('without a manifest', () => {
  it('works at once without the network once all is stored, and knows what was not there', async () => {
    const first = open();
    await first.read(WEIGHTS, 0, SIZE);
    expect(await first.size('added_tokens.json')).toBeUndefined();
    cutTheNetwork();
    const told: unknown[] = [];
    const again = open({ store, onProgress: ({ retry }) => retry && told.push(retry) });
    expect(await again.size('added_tokens.json')).toBeUndefined();
    expect(Buffer.from(await again.read(WEIGHTS, 0, SIZE)).equals(testBytes(SIZE))).toBe(true);
    expect(told).toEqual([]);
    // What nobody asked for before is not known.
    expect(await failure(again.size('other.json'))).toBe('network');
    // It is there by now.
    server.intercept = undefined;
    server.files.set('added_tokens.json', new TextEncoder().encode('{"a": 1}'));
    expect(await open().size('added_tokens.json')).toBe(8);
    expect(new TextDecoder().decode(await open().read('added_tokens.json', 0, 8))).toBe('{"a": 1}');
  });

  it('reads a file of several chunks and asks for one byte on the next visit', async () => {
    const bytes = testBytes(9 * MIB + 77);
    server.files.set(WEIGHTS, bytes);
    const got = await open().read(WEIGHTS, 3 * MIB, 9 * MIB);
    expect(Buffer.from(got).equals(bytes.subarray(3 * MIB, 9 * MIB))).toBe(true);
    server.log = [];
    const again = await open().read(WEIGHTS, 0, bytes.length);
    expect(Buffer.from(again).equals(bytes)).toBe(true);
    expect(server.requests(WEIGHTS)).toEqual([{ name: WEIGHTS, range: 'bytes=0-0' }]);
  });

  it('finds damage in the store by the hash that was stored with it', async () => {
    const bytes = testBytes(5 * MIB);
    server.files.set(WEIGHTS, bytes);
    await open().read(WEIGHTS, 0, bytes.length);
    server.log = [];
    const chunk = await storedChunk(1);
    chunk.bytes[100] = (chunk.bytes[100] ?? 0) ^ 1;
    expect(Buffer.from(await open().read(WEIGHTS, 0, bytes.length)).equals(bytes)).toBe(true);
    expect(progress?.repaired).toBe(1);
    expect(server.requests(WEIGHTS)).toHaveLength(2);
  });

  it('asks for the first chunk once, also without a store', async () => {
    const files = open({});
    await files.size(WEIGHTS);
    await files.read(WEIGHTS, 0, SIZE);
    expect(server.requests(WEIGHTS)).toHaveLength(1);
  });

  it('forgets what is stored where the file has changed on the server', async () => {
    await open().read(WEIGHTS, 0, SIZE);
    server.files.set(WEIGHTS, testBytes(SIZE, 2));
    expect(Buffer.from(await open().read(WEIGHTS, 0, SIZE)).equals(testBytes(SIZE, 2))).toBe(true);
  });

  it('works on a server without ranges and does not read twice what is stored', async () => {
    server.ranges = false;
    server.files.set(WEIGHTS, testBytes(5 * MIB));
    expect(await open().size(WEIGHTS)).toBe(5 * MIB);
    const files = open();
    expect(Buffer.from(await files.read(WEIGHTS, 0, 5 * MIB)).equals(testBytes(5 * MIB))).toBe(true);
    expect(progress?.cached).toBe(5 * MIB);
  });

  it('takes an empty file as one', async () => {
    server.files.set('empty', new Uint8Array());
    expect(await open().size('empty')).toBe(0);
  });
});

describe('faults', () => {
  const answer = (status: number, headers: Record<string, string> = {}, body = '') => {
    server.intercept = (name, _request, response) => {
      if (name === 'manifest.json') return false;
      response.writeHead(status, headers).end(body);
      return true;
    };
  };

  it('tells a file that is not there from one that must not be read', async () => {
    expect(await open().size('nothing.json')).toBeUndefined();
    expect(await failure(open().read('nothing.json', 0, 1))).toBe('not-found');
    answer(401);
    expect(await failure(open().size('config.json'))).toBe('unauthorized');
    answer(403);
    expect(await failure(open().size('config.json'))).toBe('unauthorized');
    answer(418);
    expect(await failure(open().size('config.json'))).toBe('http');
  });

  it('does without a manifest that must not be read', async () => {
    server.intercept = (name, _request, response) => {
      if (name !== 'manifest.json') return false;
      response.writeHead(403).end();
      return true;
    };
    expect(await open().size(WEIGHTS)).toBe(SIZE);
  });

  it('does not take a web page for a file', async () => {
    answer(200, { 'Content-Type': 'text/html; charset=utf-8' }, '<!doctype html>');
    expect(await failure(open().size('config.json'))).toBe('not-a-file');
    expect(await open().size('added_tokens.json')).toBeUndefined();
  });

  it('tries again while the server is busy, and then gives up', async () => {
    let left = 2;
    server.intercept = (name, _request, response) => {
      if (name !== WEIGHTS || left-- <= 0) return false;
      response.writeHead(503).end();
      return true;
    };
    expect(await open().size(WEIGHTS)).toBe(SIZE);
    expect(server.requests(WEIGHTS)).toHaveLength(3);
    left = 100;
    expect(await failure(open().size(WEIGHTS))).toBe('http');
  });

  it('tries again where the connection breaks in the middle', async () => {
    let left = 1;
    server.intercept = (name, _request, response) => {
      if (name !== WEIGHTS || left-- <= 0) return false;
      response.writeHead(206, { 'Content-Range': `bytes 0-${SIZE - 1}/${SIZE}`, 'Content-Length': SIZE });
      response.write(testBytes(SIZE).subarray(0, 500), () => response.destroy());
      return true;
    };
    expect(Buffer.from(await open().read(WEIGHTS, 0, SIZE)).equals(testBytes(SIZE))).toBe(true);
    expect(progress?.downloaded).toBe(SIZE);
  });

  it('starts a whole file again where the connection breaks', async () => {
    server.ranges = false;
    let left = 1;
    server.intercept = (name, _request, response) => {
      if (name !== WEIGHTS || left-- <= 0) return false;
      response.writeHead(200, { 'Content-Length': SIZE });
      response.write(testBytes(SIZE).subarray(0, 500), () => response.destroy());
      return true;
    };
    expect(Buffer.from(await open().read(WEIGHTS, 0, SIZE)).equals(testBytes(SIZE))).toBe(true);
  });

  it('tells each further try, what became of the one before, and when it is over', async () => {
    const told: string[] = [];
    const onProgress = ({ name, retry }: SourceProgress) => {
      const news = retry ? `try ${retry.attempt} of ${retry.of}: ${retry.code}` : name;
      if (news !== told.at(-1)) told.push(news);
    };
    let requests = 0;
    server.intercept = (name, request, response) => {
      if (name !== 'manifest.json') return false;
      // Asked only whether the server is there at all.
      const head = request.method === 'HEAD';
      if (!head) requests++;
      if (head || requests === 1) response.destroy();
      else if (requests === 2) response.writeHead(503).end();
      else return false;
      return true;
    };
    expect(await open({ onProgress }).size('config.json')).toBe(2);
    expect(told.slice(0, 4)).toEqual(['manifest.json', 'try 2 of 3: network', 'try 3 of 3: http', 'manifest.json']);
    // A server that is gone for good.
    server.intercept = (_name, _request, response) => {
      response.destroy();
      return true;
    };
    expect(await failure(open({ onProgress }).size('config.json'))).toBe('network');
    expect(told.at(-1)).toBe('try 3 of 3: network');
  });

  it('stops when it is cancelled', async () => {
    const controller = new AbortController();
    const files = open();
    files.signal = controller.signal;
    server.intercept = () => {
      controller.abort();
      return true;
    };
    expect(await failure(files.size('config.json'))).toBe('cancelled');
  });
});

describe('what is stored', () => {
  it('is listed with its size and can be freed', async () => {
    await open().read(WEIGHTS, 0, SIZE);
    const other = await openStore(disk.handle(), 'https://example.org/other/');
    await other.put('a', 0, testBytes(500));
    const listed = await listModels(disk.handle());
    expect(listed.map((model) => model.url).sort()).toEqual([url, 'https://example.org/other/'].sort());
    expect(listed.find((model) => model.url === url)?.bytes).toBeGreaterThan(SIZE);
    await freeModels(disk.handle(), url);
    expect((await listModels(disk.handle())).map((model) => model.url)).toEqual(['https://example.org/other/']);
    await freeModels(disk.handle());
    expect(await listModels(disk.handle())).toEqual([]);
    expect(disk.disk.used()).toBe(0);
  });
});
