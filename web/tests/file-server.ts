/** A real HTTP server for the sources' tests, with faults on demand. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Logged {
  name: string;
  range: string | undefined;
}

export class FileServer {
  files = new Map<string, Uint8Array>();
  /** Every request that came. */
  log: Logged[] = [];
  ranges = true;
  /** Called first; `true`: it has answered. */
  intercept: ((name: string, request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  #server: Server | undefined;

  async start(): Promise<string> {
    this.#server = createServer((request, response) => this.#answer(request, response));
    await new Promise<void>((resolve) => this.#server?.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  requests(name: string): Logged[] {
    return this.log.filter((entry) => entry.name === name);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const name = (request.url ?? '').slice(1);
    const { range } = request.headers;
    this.log.push({ name, range });
    if (this.intercept?.(name, request, response)) return;
    const bytes = this.files.get(name);
    if (!bytes) {
      response.writeHead(404).end('no');
      return;
    }
    const etag = `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"`;
    const match = /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
    if (!match || !this.ranges) {
      response.writeHead(200, { ETag: etag, 'Content-Length': bytes.length }).end(bytes);
      return;
    }
    const from = Number(match[1]);
    const to = Math.min(Number(match[2]) + 1, bytes.length);
    if (from >= bytes.length) {
      response.writeHead(416, { 'Content-Range': `bytes */${bytes.length}` }).end();
      return;
    }
    const part = bytes.subarray(from, to);
    const headers = {
      ETag: etag,
      'Content-Range': `bytes ${from}-${to - 1}/${bytes.length}`,
      'Content-Length': part.length,
    };
    response.writeHead(206, headers).end(part);
  }
}

/** Bytes that differ everywhere and are the same in each run. */
export function testBytes(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export function manifestOf(files: Map<string, Uint8Array>, chunkBytes: number): Uint8Array {
  const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  const entries = [...files].map(([name, bytes]) => {
    const chunks: string[] = [];
    for (let at = 0; at < bytes.length; at += chunkBytes) chunks.push(hash(bytes.subarray(at, at + chunkBytes)));
    return [name, { size: bytes.length, sha256: hash(bytes), chunks }];
  });
  return new TextEncoder().encode(JSON.stringify({ chunkBytes, files: Object.fromEntries(entries) }));
}
