import { defineConfig } from 'vite';
import { wasmAlias } from './build/wasm-alias.ts';
import { plainWorkerUrl } from './build/worker-url.ts';

/**
 * The npm package. Not Vite's library mode, which would inline the wasm file and the worker as base64: they stay files
 * beside `monolens.js`, found by `new URL(.., import.meta.url)`, which bundlers and browsers understand.
 */
export default defineConfig({
  base: './',
  publicDir: false,
  plugins: [plainWorkerUrl()],

  resolve: { alias: [wasmAlias()] },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    outDir: 'dist-lib',
    modulePreload: false,
    rolldownOptions: {
      input: 'src/lib/index.ts',
      preserveEntrySignatures: 'strict',
      output: { entryFileNames: 'monolens.js' },
    },
  },
});
