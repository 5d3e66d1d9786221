/** The worker: the wasm module behind a message port. */
import init, * as module from 'monolens-wasm';
import { MonolensError } from '../lib/errors';
import type { PageMethods } from './messages';
import { Peer, type Port } from './peer';
import { Service } from './service';

const ready = init().then(
  () => module,
  (error: unknown) => {
    throw new MonolensError('network', `the engine could not be fetched: ${error}`);
  },
);
// Whoever asks first is told; until then nobody listens.
ready.catch(() => undefined);

const service = new Service(ready);
service.connect(new Peer<PageMethods>(self as unknown as Port, service.handlers));
