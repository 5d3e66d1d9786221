// Makes `dist-lib/` what a package has to be: types that every way of resolving modules finds, and the licences.
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const types = fileURLToPath(new URL('../dist-lib/types/', import.meta.url));

// TypeScript writes `from './answer'`; with `moduleResolution: nodenext` only `from './answer.js'` is found, and what is
// not found silently becomes `any`.
for (const name of readdirSync(types, { recursive: true })) {
  if (!name.endsWith('.d.ts')) continue;
  const file = join(types, name);
  const text = readFileSync(file, 'utf8').replace(/(from |import\()(['"])(\.[^'"]*)\2/g, (_, before, quote, path) => {
    const target = join(dirname(file), path);
    const found = [`${path}.js`, `${path}/index.js`].find((_, i) =>
      existsSync([`${target}.d.ts`, join(target, 'index.d.ts')][i]),
    );
    if (!found) throw new Error(`dist-lib/types/${name}: nothing is at ${path}`);
    return `${before}${quote}${found}${quote}`;
  });
  writeFileSync(file, text);
}

for (const licence of ['LICENSE-APACHE', 'LICENSE-MIT']) {
  copyFileSync(join(root, licence), join(types, '..', licence));
}
