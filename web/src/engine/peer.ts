/**
 * Calls between two sides of a message port, in both directions: a call has parameters, any number of events on its way,
 * and a result or an error. An `AbortSignal` given on one side becomes an `AbortSignal` on the other.
 */
import { cancelled } from '../lib/abort';
import { fromWire, MonolensError, toWire, type WireError } from '../lib/errors';

/** One method: what goes in, what comes on the way, what comes out. */
export interface Method<Params = unknown, Result = unknown, Event = never> {
  params: Params;
  result: Result;
  event: Event;
}

export interface CallContext<Event> {
  signal: AbortSignal;
  emit(event: Event): void;
}

/** What one side offers to the other. */
export type Handlers<M> = {
  [K in keyof M]: M[K] extends Method<infer P, infer R, infer E>
    ? (params: P, context: CallContext<E>) => Promise<R> | R
    : never;
};

export interface CallOptions<Event> {
  signal?: AbortSignal | undefined;
  onEvent?: ((event: Event) => void) | undefined;
  transfer?: Transferable[];
}

/** The part of `Worker`, `MessagePort` and a worker's `self` that is used here. */
export interface Port {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
}

type Packet =
  | { type: 'call'; id: number; method: string; params: unknown }
  | { type: 'abort'; id: number }
  | { type: 'event'; id: number; event: unknown }
  | { type: 'result'; id: number; result: unknown }
  | { type: 'error'; id: number; error: WireError };

interface Pending {
  resolve(value: unknown): void;
  reject(reason: unknown): void;
  onEvent: ((event: unknown) => void) | undefined;
}

type AnyHandler = (params: unknown, context: CallContext<unknown>) => unknown;

export class Peer<Remote extends { [K in keyof Remote]: Method<unknown, unknown, unknown> }> {
  #pending = new Map<number, Pending>();
  #running = new Map<number, AbortController>();
  #nextId = 1;
  #dead: MonolensError | undefined;

  constructor(
    private readonly port: Port,
    private readonly handlers: Record<string, unknown> = {},
  ) {
    port.addEventListener('message', (message: MessageEvent) => this.#receive(message.data as Packet));
  }

  /** Calls a method of the other side. An abort is passed on; how the call then ends is the other side's to say. */
  call<K extends keyof Remote & string>(
    method: K,
    params: Remote[K]['params'],
    { signal, onEvent, transfer = [] }: CallOptions<Remote[K]['event']> = {},
  ): Promise<Remote[K]['result']> {
    if (this.#dead) return Promise.reject(this.#dead);
    if (signal?.aborted) return Promise.reject(cancelled());
    const id = this.#nextId++;
    const abort = () => this.port.postMessage({ type: 'abort', id } satisfies Packet, []);
    signal?.addEventListener('abort', abort, { once: true });
    return new Promise<Remote[K]['result']>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, onEvent: onEvent as Pending['onEvent'] });
      this.port.postMessage({ type: 'call', id, method, params } satisfies Packet, transfer);
    }).finally(() => signal?.removeEventListener('abort', abort));
  }

  /** Ends every call with `error`, and each later one. */
  close(error: MonolensError): void {
    this.#dead = error;
    for (const call of this.#pending.values()) call.reject(error);
    this.#pending.clear();
  }

  #receive(packet: Packet): void {
    switch (packet.type) {
      case 'call':
        void this.#run(packet.id, packet.method, packet.params);
        return;
      case 'abort':
        this.#running.get(packet.id)?.abort(cancelled());
        return;
      case 'event':
        this.#pending.get(packet.id)?.onEvent?.(packet.event);
        return;
      case 'result':
        this.#pending.get(packet.id)?.resolve(packet.result);
        break;
      case 'error':
        this.#pending.get(packet.id)?.reject(fromWire(packet.error));
        break;
    }
    this.#pending.delete(packet.id);
  }

  async #run(id: number, method: string, params: unknown): Promise<void> {
    const controller = new AbortController();
    this.#running.set(id, controller);
    const emit = (event: unknown) => this.port.postMessage({ type: 'event', id, event } satisfies Packet, []);
    try {
      const handler = this.handlers[method] as AnyHandler | undefined;
      if (!handler) throw new MonolensError('internal', `no method ${method}`);
      const result = await handler(params, { signal: controller.signal, emit });
      this.port.postMessage({ type: 'result', id, result } satisfies Packet, transferables(result));
    } catch (error) {
      this.port.postMessage({ type: 'error', id, error: toWire(error) } satisfies Packet, []);
    } finally {
      this.#running.delete(id);
    }
  }
}

/** File contents are moved, not copied, where they own their whole buffer. */
function transferables(result: unknown): Transferable[] {
  if (result instanceof Uint8Array && result.byteLength === result.buffer.byteLength) {
    return [result.buffer as ArrayBuffer];
  }
  return [];
}
