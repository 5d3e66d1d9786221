/** Where models come from, and what networks and disks do to them. */
import { cp, mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from './lib/browser.ts';
import { example, type MonolensPage, ON_CPU } from './lib/monolens-page.ts';
import { ask, ROOT } from './lib/native.ts';
import { Site } from './lib/site.ts';

const QUESTION = 'What is this?';
const WEIGHTS = /mono-tiny\/model\.safetensors$/;

test('a second visit downloads no weights', async ({ monolens, site }) => {
  await monolens.open(site.url);
  const once = site.bytesOf(WEIGHTS);
  expect(once).toBeGreaterThan(1_000_000);
  await monolens.page.reload();
  await monolens.ready();
  expect(site.bytesOf(WEIGHTS)).toBe(once);
  await monolens.choose(example('guitar.png'));
  expect(await monolens.ask(QUESTION)).toBe(ask(QUESTION, ['examples/guitar.png']).answer);
});

test.describe('a model from an address', () => {
  const load = async (monolens: MonolensPage, url: string) => {
    await monolens.page.getByRole('button', { name: /^Model:/ }).click();
    await monolens.page.getByLabel(/^Address of the folder/).fill(url);
    await monolens.page.getByRole('button', { name: 'Load', exact: true }).click();
  };

  test('on another server is loaded once and kept', async ({ monolens, site }) => {
    const other = await Site.start({ '/': join(ROOT, 'tests/golden/mono-v1') }, { cors: true });
    await monolens.open(site.url);
    await load(monolens, `${other.url}bf16`);
    await monolens.ready();
    await monolens.openInside();
    const answer = async () => {
      await monolens.choose(example('example.png'));
      await monolens.ask(QUESTION);
      return monolens.figure('Answer');
    };
    const native = ask(QUESTION, ['examples/example.png'], 'tests/golden/mono-v1/bf16');
    expect(await answer()).toBe(`${native.stats.generated_tokens} tokens`);
    const weights = other.bytesOf(/safetensors$/);
    expect(weights).toBeGreaterThan(100_000);
    await monolens.page.reload();
    await monolens.ready();
    // One byte tells how long the file is now and whether it is another one.
    expect(other.bytesOf(/safetensors$/)).toBeLessThanOrEqual(weights + 1);
    await other.stop();
  });

  test('on a server that lets nobody else read is refused with the reason', async ({ monolens, site }) => {
    const other = await Site.start({ '/': join(ROOT, 'tests/golden/mono-v1') });
    await monolens.open(site.url);
    await load(monolens, `${other.url}bf16`);
    await expect(monolens.page.getByRole('alert')).toHaveAttribute('data-code', /cross-origin|network/);
    await other.stop();
  });
});

test('a cut download goes on where it was', async ({ monolens, site }) => {
  site.faults = [{ path: WEIGHTS, cutAfter: 14_000_000 }];
  await monolens.page.goto(site.url + ON_CPU);
  await expect(monolens.page.getByRole('alert')).toHaveAttribute('data-code', 'network');
  const before = site.bytesOf(WEIGHTS);
  site.faults = [];
  await monolens.page.getByRole('button', { name: 'Try again' }).click();
  await monolens.ready();
  const size = await monolens.page.evaluate(async () => {
    const answer = await fetch('models/mono-tiny/model.safetensors', { method: 'HEAD' });
    return Number(answer.headers.get('content-length'));
  });
  // Chunks that came whole are not asked for again.
  expect(site.bytesOf(WEIGHTS) - before).toBeLessThan(size);
});

const FAULTS = {
  'damaged weights': { fault: { path: WEIGHTS, flipByte: 5_000_000 }, code: 'corrupt' },
  'truncated weights': { fault: { path: WEIGHTS, truncateTo: 1_000_000 }, code: /wrong-size|corrupt|http/ },
  'a file that is not there': { fault: { path: /tokenizer\.model$/, status: 404 }, code: /not-found|bad-model/ },
  'a server that fails': { fault: { path: WEIGHTS, status: 403 }, code: 'unauthorized' },
};
for (const [name, { fault, code }] of Object.entries(FAULTS)) {
  test(`${name}: said, and loading again works once it is mended`, async ({ monolens, site }) => {
    site.faults = [fault];
    await monolens.page.goto(site.url + ON_CPU);
    await expect(monolens.page.getByRole('alert')).toHaveAttribute('data-code', code);
    site.faults = [];
    await monolens.page.getByRole('button', { name: 'Try again' }).click();
    await monolens.ready();
  });
}

test('a server without byte ranges serves a small model all the same', async ({ monolens, site }) => {
  site.faults = [{ path: /mono-tiny\//, noRanges: true }];
  await monolens.open(site.url);
  await monolens.choose(example('rocket.png'));
  expect(await monolens.ask(QUESTION)).toBe(ask(QUESTION, ['examples/rocket.png']).answer);
});

test('bytes that went bad in the browser are noticed and fetched again', async ({ monolens, site }) => {
  await monolens.open(site.url);
  const damaged = await monolens.page.evaluate(async () => {
    // Flips a byte in the middle of the largest stored file.
    const files: FileSystemFileHandle[] = [];
    const walk = async (folder: FileSystemDirectoryHandle): Promise<void> => {
      for await (const entry of folder.values()) {
        if (entry.kind === 'directory') await walk(entry as FileSystemDirectoryHandle);
        else files.push(entry as FileSystemFileHandle);
      }
    };
    await walk(await navigator.storage.getDirectory());
    const sized = await Promise.all(files.map(async (file) => ({ file, size: (await file.getFile()).size })));
    const largest = sized.sort((a, b) => b.size - a.size)[0];
    if (!largest) return 0;
    const at = Math.floor(largest.size / 2);
    const byte = new Uint8Array(await (await largest.file.getFile()).slice(at, at + 1).arrayBuffer());
    const writer = await largest.file.createWritable({ keepExistingData: true });
    await writer.write({ type: 'write', position: at, data: byte.map((b) => b ^ 0xff) });
    await writer.close();
    return largest.size;
  });
  expect(damaged).toBeGreaterThan(1_000_000);
  await monolens.page.reload();
  await monolens.ready();
  await expect(monolens.page.getByText(/had been damaged and was fetched again/)).toBeVisible();
});

test('what is stored is listed and can be freed', async ({ monolens, site }) => {
  await monolens.open(site.url);
  await monolens.page.getByRole('button', { name: /^Model:/ }).click();
  const dialog = monolens.page.getByRole('dialog', { name: 'Model' });
  await expect(dialog).toContainText(/MB/);
  await dialog.getByRole('button', { name: /^Free/ }).first().click();
  await expect(dialog).toContainText('Nothing is stored.');
});

test.describe('a folder from disk', () => {
  const dropFolder = async (page: import('@playwright/test').Page, folder: string) => {
    await page.getByRole('button', { name: /^Model:/ }).click();
    await page.getByLabel('Files of a model').setInputFiles(folder);
  };

  test('is read in slices and answers as the native command does', async ({ monolens, site }) => {
    await monolens.open(site.url);
    await dropFolder(monolens.page, join(ROOT, 'tests/golden/mono-v1/sharded'));
    await monolens.ready();
    await monolens.choose(example('example.png'));
    const native = ask(QUESTION, ['examples/example.png'], 'tests/golden/mono-v1/sharded');
    await monolens.openInside();
    await monolens.ask(QUESTION);
    expect(await monolens.figure('Answer')).toBe(`${native.stats.generated_tokens} tokens`);
  });

  test('with truncated weights is refused with a reason', async ({ monolens, site }) => {
    const folder = await mkdtemp(join(tmpdir(), 'monolens-model-'));
    await cp(join(ROOT, 'tests/golden/mono-v1/bf16'), folder, { recursive: true });
    await truncate(join(folder, 'model.safetensors'), 300_000);
    await monolens.open(site.url);
    await dropFolder(monolens.page, folder);
    await expect(monolens.page.getByRole('alert')).toHaveAttribute('data-code', /bad-model|wrong-size/);
    await rm(folder, { recursive: true });
  });
});
