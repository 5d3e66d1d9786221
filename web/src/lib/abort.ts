import { MonolensError } from './errors';

/** The error of what was ended early; the signal's own reason is its `cause`. */
export function cancelled(signal?: AbortSignal): MonolensError {
  return new MonolensError('cancelled', 'cancelled', signal && { cause: signal.reason });
}

/** `work`, or an error of code `cancelled` as soon as the signal says so; what the worker has begun then ends unheard. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(cancelled(signal));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
