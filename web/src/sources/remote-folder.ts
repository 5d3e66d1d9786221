import { MonolensError } from '../lib/errors';
import { fetchRange, networkError, type RangeReply, refusesOtherSites } from './fetch-range';
import { DELAYS, type Retry, retrying, Transient } from './retry';

/** Requests to one folder on a server: tried again where that may help, with errors that say what to do. */
export class RemoteFolder {
  /** Ends what is under way when it aborts. Set for as long as there is somebody who may cancel. */
  signal: AbortSignal | undefined;
  /** Whether the server has answered anything yet. */
  #reached = false;

  constructor(
    /** With a slash at its end. */
    readonly url: string,
    /** Called with the file and the number of bytes that came; negative where they must come again. */
    private readonly onBytes: (name: string, count: number) => void,
    private readonly delays: readonly number[] = DELAYS,
    /** Called before a request is made again, and with nothing when one went well. */
    private readonly onRetry?: (retry: Retry | undefined) => void,
  ) {}

  /** Bytes `[from, to)` of a file. */
  async request(
    name: string,
    from: number,
    to: number,
    { cache = 'no-store', delays = this.delays }: { cache?: RequestCache; delays?: readonly number[] } = {},
  ): Promise<RangeReply> {
    try {
      const reply = await this.retrying(() => this.#attempt(name, from, to, cache), delays);
      this.#reached = true;
      return reply;
    } catch (error) {
      this.#reached ||= !(error instanceof MonolensError && error.code === 'network');
      throw error;
    }
  }

  retrying<T>(attempt: () => Promise<T>, delays = this.delays): Promise<T> {
    return retrying(attempt, { signal: this.signal, delays, onRetry: this.onRetry });
  }

  /** Runs `work` with the body of a file that comes whole; from the start again where the connection breaks. */
  takeWhole<T>(
    name: string,
    body: ReadableStream<Uint8Array<ArrayBuffer>>,
    work: (body: ReadableStream<Uint8Array<ArrayBuffer>>) => Promise<T>,
  ): Promise<T> {
    let next: ReadableStream<Uint8Array<ArrayBuffer>> | undefined = body;
    return this.retrying(async () => {
      let current = next;
      next = undefined;
      if (!current) {
        const reply = await this.#attempt(name, 0, 1, 'no-store');
        if (reply.kind !== 'whole') throw new MonolensError('wrong-size', `${this.url}${name} changes as it is read`);
        current = reply.pieces;
      }
      try {
        return await work(current);
      } catch (error) {
        throw networkError(error, this.url + name, this.signal);
      }
    });
  }

  async #attempt(name: string, from: number, to: number, cache: RequestCache): Promise<RangeReply> {
    const url = this.url + name;
    let came = 0;
    const onBytes = (count: number) => {
      came += count;
      this.onBytes(name, count);
    };
    try {
      return await fetchRange({ url, from, to, cache, signal: this.signal, onBytes });
    } catch (error) {
      if (came > 0) this.onBytes(name, -came);
      const first = error instanceof Transient && error.error.code === 'network' && !this.#reached;
      if (first && (await refusesOtherSites(url, this.signal))) {
        throw new MonolensError('cross-origin', `${url}: the server does not let this page read from it`);
      }
      throw error;
    }
  }
}
