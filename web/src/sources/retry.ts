import { type ErrorCode, MonolensError } from '../lib/errors';

/** A failure that may be over soon: a broken connection, a busy server. */
export class Transient extends Error {
  constructor(
    readonly error: MonolensError,
    /** What the server asked us to wait, in milliseconds. */
    readonly wait: number | undefined = undefined,
  ) {
    super(error.message);
  }
}

/** Milliseconds before each further try. */
export const DELAYS: readonly number[] = [500, 1000, 2000, 4000, 8000];
const LONGEST_WAIT = 60_000;

/** A request that failed and is made again. */
export interface Retry {
  /** Which try comes next, from 2 on, and of how many. */
  attempt: number;
  of: number;
  /** What became of the one before: `network` where no answer came, `http` where the server was busy. */
  code: ErrorCode;
}

interface RetryOptions {
  signal?: AbortSignal | undefined;
  delays?: readonly number[];
  /** Called before each further try, and with nothing when one went well. */
  onRetry?: ((retry: Retry | undefined) => void) | undefined;
}

/** Tries again after a {@link Transient} failure, later each time; gives up with its error. */
export async function retrying<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { signal, delays = DELAYS, onRetry } = options;
  for (let i = 0; ; i++) {
    try {
      const result = await attempt();
      if (i > 0) onRetry?.(undefined);
      return result;
    } catch (error) {
      if (!(error instanceof Transient)) throw error;
      const delay = delays[i];
      if (delay === undefined) throw error.error;
      onRetry?.({ attempt: i + 2, of: delays.length + 1, code: error.error.code });
      // A little randomness, so that a server's many visitors do not come back at the same moment.
      await sleep(Math.min(error.wait ?? delay * (0.75 + Math.random() / 2), LONGEST_WAIT), signal);
    }
  }
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new MonolensError('cancelled', 'cancelled'));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}
