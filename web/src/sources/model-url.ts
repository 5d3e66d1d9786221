import { MonolensError } from '../lib/errors';

/**
 * The folder that a visitor's URL means, with a slash at its end: a folder anywhere, or a page of a model on
 * huggingface.co (`/org/name`, `/org/name/tree/main`), whose files lie under `/resolve/`.
 */
export function modelFolder(url: string | URL, base?: string): string {
  let folder: URL;
  try {
    folder = new URL(url, base);
  } catch {
    throw new MonolensError('bad-request', `"${url}" is no URL`);
  }
  if (folder.protocol !== 'https:' && folder.protocol !== 'http:') {
    throw new MonolensError('bad-request', `models are read over http and https, not ${folder.protocol}`);
  }
  folder.hash = '';
  folder.search = '';
  const parts = folder.pathname.split('/').filter((part) => part !== '');
  if (parts.at(-1) === 'config.json') parts.pop();
  if (folder.hostname === 'huggingface.co') {
    if (parts.length === 2) parts.push('resolve', 'main');
    else if (parts[2] === 'tree' || parts[2] === 'blob') parts[2] = 'resolve';
  }
  folder.pathname = parts.map((part) => `/${part}`).join('');
  if (!folder.pathname.endsWith('/')) folder.pathname += '/';
  return folder.href;
}
