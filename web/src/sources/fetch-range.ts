import { MonolensError } from '../lib/errors';
import { Transient } from './retry';

/** A connection that gives nothing for this long is dead. */
const STALL_MS = 30_000;

export interface RangeRequest {
  url: string;
  from: number;
  /** Exclusive. */
  to: number;
  signal?: AbortSignal | undefined;
  cache: RequestCache;
  /** Called with the number of bytes that just came. */
  onBytes(count: number): void;
}

export type RangeReply =
  | { kind: 'range'; bytes: Uint8Array<ArrayBuffer>; size: number | undefined; etag: string | undefined }
  /** The server ignores ranges and sends all of it; `pieces` must be read or cancelled. */
  | { kind: 'whole'; pieces: ReadableStream<Uint8Array<ArrayBuffer>>; etag: string | undefined }
  | { kind: 'missing' }
  /** A web page came: a server that answers every path with its front page, or asks to log in. */
  | { kind: 'html' };

/** One attempt at bytes `[from, to)` of a URL. Throws {@link Transient} where another attempt may help. */
export async function fetchRange(request: RangeRequest): Promise<RangeReply> {
  const { url, from, to, cache } = request;
  const stalled = new AbortController();
  let timer = setTimeout(() => stalled.abort(), STALL_MS);
  const signal = request.signal ? AbortSignal.any([request.signal, stalled.signal]) : stalled.signal;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => stalled.abort(), STALL_MS);
  };
  try {
    const response = await fetch(url, { headers: { Range: `bytes=${from}-${to - 1}` }, signal, cache });
    alive();
    const reply = classify(response, url, from);
    if (reply) return reply;
    const etag = response.headers.get('ETag') ?? undefined;
    const body = response.body ?? new ReadableStream<Uint8Array<ArrayBuffer>>({ start: (c) => c.close() });
    if (response.status === 200) return { kind: 'whole', pieces: body, etag };
    const bytes = await readAll(body, to - from, (count) => {
      alive();
      request.onBytes(count);
    });
    const size = /\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '')?.[1];
    return { kind: 'range', bytes, size: size === undefined ? undefined : Number(size), etag };
  } catch (error) {
    throw networkError(error, url, request.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Size of a file where the server lets us see it; `undefined` otherwise. */
export async function headSize(url: string, signal: AbortSignal | undefined): Promise<number | undefined> {
  try {
    const response = await fetch(url, { method: 'HEAD', signal: signal ?? null });
    const length = response.headers.get('Content-Length');
    return response.ok && length !== null ? Number(length) : undefined;
  } catch (error) {
    throw networkError(error, url, signal);
  }
}

/** What a response is by its head alone; `undefined`: its body is wanted. */
function classify(response: Response, url: string, from: number): RangeReply | undefined {
  const done = (reply: RangeReply): RangeReply => {
    void response.body?.cancel();
    return reply;
  };
  const { status } = response;
  if (status === 404 || status === 410) return done({ kind: 'missing' });
  if (status === 416 && from === 0) return done({ kind: 'range', bytes: new Uint8Array(), size: 0, etag: undefined });
  if (status === 401 || status === 403) {
    done({ kind: 'missing' });
    throw new MonolensError('unauthorized', `${url}: the server refuses (status ${status})`);
  }
  if (status === 408 || status === 429 || status >= 500) {
    done({ kind: 'missing' });
    const after = Number(response.headers.get('Retry-After') ?? Number.NaN);
    const error = new MonolensError('http', `${url}: the server answered with status ${status}`);
    throw new Transient(error, Number.isFinite(after) ? after * 1000 : undefined);
  }
  if (status !== 200 && status !== 206) {
    done({ kind: 'missing' });
    throw new MonolensError('http', `${url}: the server answered with status ${status}`);
  }
  if (/^text\/html\b/i.test(response.headers.get('Content-Type') ?? '')) return done({ kind: 'html' });
  return undefined;
}

async function readAll(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  most: number,
  onBytes: (count: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(most);
  let length = 0;
  for await (const piece of pieces(body)) {
    if (length + piece.length > most) throw new MonolensError('wrong-size', 'the server sent more than was asked for');
    bytes.set(piece, length);
    length += piece.length;
    onBytes(piece.length);
  }
  return length === most ? bytes : bytes.slice(0, length);
}

/** The pieces of a stream. Safari's streams are not iterable by themselves. */
export async function* pieces(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    // Where the caller leaves early, the download ends; after the last piece this does nothing.
    void reader.cancel().catch(() => undefined);
  }
}

/** A failed `fetch` says nothing but "TypeError"; what it means depends on who aborted it. */
export function networkError(error: unknown, url: string, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return new MonolensError('cancelled', 'cancelled');
  if (error instanceof MonolensError || error instanceof Transient) return error;
  return new Transient(new MonolensError('network', `${url}: ${error instanceof Error ? error.message : error}`));
}

/**
 * Whether a server is there but keeps other sites' pages from reading: then a request whose answer nobody may read goes
 * through. Browsers do not tell this apart from a broken network otherwise.
 */
export async function refusesOtherSites(url: string, signal: AbortSignal | undefined): Promise<boolean> {
  if (typeof location !== 'undefined' && new URL(url).origin === location.origin) return false;
  try {
    await fetch(url, { mode: 'no-cors', method: 'HEAD', signal: signal ?? null });
    return true;
  } catch {
    return false;
  }
}
