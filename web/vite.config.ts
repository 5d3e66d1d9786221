import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { requireAssets } from './build/assets.ts';
import { contentSecurityPolicy } from './build/csp.ts';
import { wasmAlias } from './build/wasm-alias.ts';

/**
 * The page: a static folder with relative paths, for any host. `npm run dev -- --mode fake` puts the tests' fake engine in
 * the engine's place, to work on the page without Rust; a build never does.
 */
export default defineConfig(({ command, mode }) => {
  const fake = {
    find: 'monolens-wasm',
    replacement: fileURLToPath(new URL('./tests/fake-engine.ts', import.meta.url)),
  };
  return {
    base: './',
    plugins: [requireAssets(), contentSecurityPolicy()],
    resolve: { alias: [command === 'serve' && mode === 'fake' ? fake : wasmAlias()] },
    worker: { format: 'es' },
    build: { target: 'es2022', modulePreload: { polyfill: false } },
  };
});
