import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Alias } from 'vite';

/** Where `monolens-wasm` is: what `cargo xtask wasm` wrote. Says how to make it where it is absent. */
export function wasmAlias(): Alias {
  const module = fileURLToPath(new URL('../src/wasm/monolens_web.js', import.meta.url));
  if (!existsSync(module)) {
    throw new Error('web/src/wasm/monolens_web.js is not there: run `cargo xtask wasm` in the repository root first');
  }
  return { find: 'monolens-wasm', replacement: module };
}
