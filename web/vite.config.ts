import { defineConfig } from 'vite';
import { wasmAlias } from './build-wasm-alias';

/** The page: a static folder with relative paths, for any host. */
export default defineConfig({
  base: './',
  resolve: { alias: [wasmAlias()] },
  worker: { format: 'es' },
  build: { target: 'es2022', modulePreload: { polyfill: false } },
});
