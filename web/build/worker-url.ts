import type { Plugin } from 'vite';

/**
 * In the npm package the worker's address is written the way that every bundler looks for,
 * `new Worker(new URL('./assets/worker.js', import.meta.url))`; Vite wraps it once more, and then others do not see it.
 */
export function plainWorkerUrl(): Plugin {
  const wrapped =
    /new URL\(\s*new URL\(\s*[`"']([^`"']+)[`"'],\s*import\.meta\.url\)\.href,\s*(?:[`"']{2}\s*\+\s*)?import\.meta\.url\)/g;
  return {
    name: 'plain-worker-url',
    generateBundle(_options, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk' || !chunk.isEntry) continue;
        chunk.code = chunk.code.replaceAll(wrapped, (_, path) => `new URL("./${path}", import.meta.url)`);
        if (!chunk.code.includes('new Worker(new URL("./')) this.error('the address of the worker was not found');
      }
    },
  };
}
