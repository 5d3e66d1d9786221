/** The address of a model as a visitor writes it. */
import { MonolensError } from '../../lib/errors';
import { modelFolder } from '../../sources/model-url';

/** `org/name` is a model on Hugging Face; an address without a scheme is one over https. */
export function address(text: string): string {
  const written = text.trim();
  if (/^[\w.-]+\/[\w.-]+$/.test(written) && !isHost(written)) return `https://huggingface.co/${written}`;
  return /^[a-z][a-z0-9+.-]*:/i.test(written) && !/^localhost:/.test(written) ? written : `https://${written}`;
}

/** Whether it begins with a host, `example.org/model`, and not with the name of an organisation. */
function isHost(written: string): boolean {
  return /^(localhost|[^/]*\.[a-z]{2,})\//i.test(written);
}

/**
 * Refuses at once what the page could never read: what is no address of a model, and http from other hosts than this computer
 * where the page's security policy forbids it.
 */
export function checkReachable(source: string | URL, forbidsHttp = hasPolicy(), own = location.origin): void {
  const { protocol, hostname, origin } = new URL(modelFolder(source, document.baseURI));
  const isHere = ['localhost', '127.0.0.1'].includes(hostname) || origin === own;
  if (protocol === 'http:' && forbidsHttp && !isHere) {
    throw new MonolensError(
      'bad-request',
      `this page reads models over https, and over http from this computer only, got http://${hostname}`,
    );
  }
}

function hasPolicy(): boolean {
  return document.querySelector('meta[http-equiv="Content-Security-Policy"]') !== null;
}
