import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';

/** What the page asks for beside its code. */
const ASSETS = ['models/mono-tiny/manifest.json', 'selftest/manifest.json', 'examples/questions.json'];

/** Refuses to build a page that would ask for files which are not there. */
export function requireAssets(): Plugin {
  return {
    name: 'require-assets',
    apply: 'build',
    buildStart() {
      for (const asset of ASSETS) {
        if (existsSync(fileURLToPath(new URL(`../public/${asset}`, import.meta.url)))) continue;
        this.error(`web/public/${asset} is not there: run \`cargo xtask web-assets\` in the repository root first`);
      }
    },
  };
}
