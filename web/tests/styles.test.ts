import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

it('every style sheet is part of the page', () => {
  const folder = new URL('../src/page/styles/', import.meta.url);
  const main = readFileSync(new URL('main.css', folder), 'utf8');
  const sheets = readdirSync(folder).filter((name) => name !== 'main.css');
  expect([...main.matchAll(/@import "\.\/([^"]+)"/g)].map((match) => match[1]).sort()).toEqual(sheets.sort());
});
