// Prints what a visitor downloads besides the model, gzipped, and fails above the limit.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const LIMIT = 1_000_000;
const folder = new URL('../dist/assets/', import.meta.url).pathname;
let total = 0;
for (const name of readdirSync(folder).sort()) {
  if (!/\.(js|wasm|css)$/.test(name)) continue;
  const bytes = gzipSync(readFileSync(join(folder, name)), { level: 9 }).length;
  if (!name.endsWith('.css')) total += bytes;
  process.stdout.write(`${(bytes / 1000).toFixed(1).padStart(8)} kB gzipped  ${name}\n`);
}
process.stdout.write(
  `${(total / 1000).toFixed(1).padStart(8)} kB gzipped  wasm and JavaScript (limit ${LIMIT / 1000} kB)\n`,
);
if (total > LIMIT) process.exit(1);
