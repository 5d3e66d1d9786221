import type { ErrorCode as EngineErrorCode } from '../engine/contract';

/** What can go wrong with a model's files, before the engine sees them. */
export type SourceErrorCode =
  /** The network failed, also after several tries. */
  | 'network'
  /** The server is there but does not let other sites' pages read from it (CORS). */
  | 'cross-origin'
  | 'not-found'
  /** 401 or 403: the model is private or its licence must be accepted first. */
  | 'unauthorized'
  /** Another HTTP status that is no success. */
  | 'http'
  /** The server sends whole files only, and the file is too large to be kept. */
  | 'no-ranges'
  | 'wrong-size'
  /** A web page came instead of a file. */
  | 'not-a-file'
  /** The bytes differ from the manifest's hash, also when fetched again. */
  | 'corrupt';

export type ErrorCode = EngineErrorCode | SourceErrorCode;

/**
 * Every error of this library. `code` is stable; `message` is for people and may change. Where a signal ended the work,
 * `cause` is its reason.
 */
export class MonolensError extends Error {
  override readonly name = 'MonolensError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** An error as it crosses a message port: `structuredClone` would lose `code`. */
export interface WireError {
  code: ErrorCode;
  message: string;
}

export function toWire(error: unknown): WireError {
  return { code: codeOf(error), message: error instanceof Error ? error.message : String(error) };
}

export function fromWire(error: WireError): MonolensError {
  return new MonolensError(error.code, error.message);
}

export function asMonolensError(error: unknown): MonolensError {
  return error instanceof MonolensError ? error : fromWire(toWire(error));
}

/** The code that an error carries: ours, the engine's, or what a browser's error amounts to. */
export function codeOf(error: unknown): ErrorCode {
  if (typeof error !== 'object' || error === null) return 'internal';
  if ('code' in error && typeof error.code === 'string') return error.code as ErrorCode;
  if (error instanceof DOMException && error.name === 'AbortError') return 'cancelled';
  if (error instanceof DOMException && (error.name === 'NotFoundError' || error.name === 'NotReadableError')) {
    return 'read-failed';
  }
  return 'internal';
}
