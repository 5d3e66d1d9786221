/**
 * A static web server for tests, on localhost, with the faults of real networks: cut connections, no byte ranges, other
 * bytes than were asked for, slowness. It counts what it served.
 */
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { Transform } from 'node:stream';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
};

/** What goes wrong with the files whose path matches. */
export interface Fault {
  path: RegExp;
  /** Ends the connection once this many bytes of matching files went out in all. */
  cutAfter?: number;
  /** Answers with this status. */
  status?: number;
  /** Ignores `Range` headers and sends the whole file. */
  noRanges?: boolean;
  /** Flips every bit of the byte at this offset. */
  flipByte?: number;
  /** Changes the text of a small file. */
  edit?: (text: string) => string;
  /** Says that the file is only so long. */
  truncateTo?: number;
  /** Milliseconds to wait before answering. */
  delay?: number;
}

interface Part {
  from: number;
  to: number;
  status: 200 | 206;
}

export class Site {
  /** Faults in force; tests change it as they go. */
  faults: Fault[] = [];
  /** Bytes of bodies sent, by path. */
  readonly sent = new Map<string, number>();
  private readonly server: Server;

  private constructor(private readonly roots: Record<string, string>, private readonly cors: boolean) {
    this.server = createServer((request, response) => {
      this.answer(request, response).catch((error: unknown) => {
        response.destroy(error instanceof Error ? error : new Error(String(error)));
      });
    });
  }

  /** Serves folders by URL prefix, the longest that fits, `/` among them. */
  static async start(roots: Record<string, string>, options: { cors?: boolean } = {}): Promise<Site> {
    const site = new Site(roots, options.cors ?? false);
    await new Promise<void>((resolve) => site.server.listen(0, '127.0.0.1', resolve));
    return site;
  }

  get url(): string {
    const { port } = this.server.address() as AddressInfo;
    return `http://localhost:${port}/`;
  }

  /** Bytes sent of all files whose path matches. */
  bytesOf(path: RegExp): number {
    return [...this.sent].filter(([at]) => path.test(at)).reduce((sum, [, bytes]) => sum + bytes, 0);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private file(path: string): string | undefined {
    const prefixes = Object.keys(this.roots).sort((a, b) => b.length - a.length);
    const prefix = prefixes.find((known) => path.startsWith(known));
    const folder = prefix === undefined ? undefined : this.roots[prefix];
    if (prefix === undefined || folder === undefined) return undefined;
    const rest = normalize(path.slice(prefix.length) || 'index.html');
    return rest.startsWith('..') ? undefined : join(folder, rest);
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = decodeURIComponent(new URL(request.url ?? '/', this.url).pathname);
    const fault = this.faults.find((known) => known.path.test(path));
    if (fault?.delay !== undefined) await new Promise((resolve) => setTimeout(resolve, fault.delay));
    if (this.cors) {
      response.setHeader('Access-Control-Allow-Origin', '*');
      response.setHeader('Access-Control-Allow-Headers', '*');
      response.setHeader('Access-Control-Expose-Headers', 'Content-Length, Content-Range, Accept-Ranges, ETag');
    }
    const file = this.file(path);
    const found = file === undefined ? undefined : await stat(file).catch(() => undefined);
    if (file === undefined || !found?.isFile() || fault?.status !== undefined) {
      response.writeHead(fault?.status ?? 404).end();
      return;
    }
    if (fault?.edit !== undefined) {
      response.setHeader('Content-Type', TYPES[extname(file)] ?? 'text/plain');
      response.end(fault.edit(await readFile(file, 'utf8')));
      return;
    }
    const size = Math.min(found.size, fault?.truncateTo ?? found.size);
    const part = fault?.noRanges ? { from: 0, to: size, status: 200 as const } : range(request, size);
    if (part === undefined) {
      response.writeHead(416, { 'Content-Range': `bytes */${size}` }).end();
      return;
    }
    response.setHeader('Content-Type', TYPES[extname(file)] ?? 'application/octet-stream');
    response.setHeader('Content-Length', part.to - part.from);
    if (!fault?.noRanges) response.setHeader('Accept-Ranges', 'bytes');
    if (part.status === 206) response.setHeader('Content-Range', `bytes ${part.from}-${part.to - 1}/${size}`);
    response.writeHead(part.status);
    if (request.method === 'HEAD' || part.to === part.from) {
      response.end();
      return;
    }
    const body = createReadStream(file, { start: part.from, end: part.to - 1 });
    body.pipe(this.meddle(path, part.from, response, fault)).pipe(response);
  }

  /** Counts bytes and does what the fault says to them. */
  private meddle(path: string, from: number, response: ServerResponse, fault?: Fault): Transform {
    let at = from;
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        const flip = fault?.flipByte;
        if (flip !== undefined && flip >= at && flip < at + chunk.length) {
          chunk = Buffer.from(chunk);
          chunk.writeUInt8(chunk.readUInt8(flip - at) ^ 0xff, flip - at);
        }
        at += chunk.length;
        this.sent.set(path, (this.sent.get(path) ?? 0) + chunk.length);
        if (fault?.cutAfter !== undefined && this.bytesOf(fault.path) >= fault.cutAfter) {
          response.destroy();
          done();
          return;
        }
        done(null, chunk);
      },
    });
  }
}

function range(request: IncomingMessage, size: number): Part | undefined {
  const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  if (asked === null) return { from: 0, to: size, status: 200 };
  const from = Number(asked[1]);
  const to = asked[2] ? Math.min(Number(asked[2]) + 1, size) : size;
  return from < to ? { from, to, status: 206 } : undefined;
}
