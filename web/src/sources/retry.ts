import { MonolensError } from '../lib/errors';

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

/** Tries again after a {@link Transient} failure, later each time; gives up with its error. */
export async function retrying<T>(
  attempt: () => Promise<T>,
  { signal, delays = DELAYS }: { signal?: AbortSignal | undefined; delays?: readonly number[] },
): Promise<T> {
  for (const delay of delays) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Transient)) throw error;
      // A little randomness, so that a server's many visitors do not come back at the same moment.
      await sleep(Math.min(error.wait ?? delay * (0.75 + Math.random() / 2), LONGEST_WAIT), signal);
    }
  }
  try {
    return await attempt();
  } catch (error) {
    throw error instanceof Transient ? error.error : error;
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
