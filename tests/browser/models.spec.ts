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

const load = async (monolens: MonolensPage, url: string) => {
  await monolens.page.getByRole('button', { name: /^Model:/ }).click();
  await monolens.page.getByLabel(/^Address of the folder/).fill(url);
  await monolens.page.getByRole('button', { name: 'Load', exact: true }).click();
};

test('loading shows bytes, rate and what is being done', async ({ monolens, site }) => {
  site.faults = [{ path: WEIGHTS, delay: 1500 }];
  // On one machine all goes by in moments: everything that was shown is kept.
  await monolens.page.addInitScript(() => {
    const shown: string[] = [];
    Object.assign(window, { shown });
    const look = (): void => {
      const text = document.querySelector('#load-status .hint')?.textContent;
      if (text && text !== shown.at(-1)) shown.push(text);
    };
    new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
  });
  await monolens.page.goto(site.url + ON_CPU);
  await expect(monolens.loading).toBeVisible();
  await monolens.ready();
  const shown = await monolens.page.evaluate(() => (window as unknown as { shown: string[] }).shown);
  expect(shown).toContainEqual(expect.stringMatching(/^Reading /));
  expect(shown).toContainEqual(expect.stringMatching(/^Loading weights .* · [\d.]+ [kM]?B of [\d.]+ MB, [\d.]+ MB downloaded/));
  expect(shown).toContainEqual(expect.stringMatching(/B\/s$/));
});

test.describe('a model that cannot be loaded leaves the working one', () => {
  const works = async (monolens: MonolensPage) => {
    await expect(monolens.page.getByRole('button', { name: /^Model:/ })).toContainText('mono-tiny');
    await monolens.choose(example('rocket.png'));
    expect(await monolens.ask(QUESTION)).toBe(ask(QUESTION, ['examples/rocket.png']).answer);
  };

  test('where the address is wrong', async ({ monolens, site }) => {
    await monolens.open(site.url);
    await load(monolens, `${site.url}nowhere/`);
    await expect(monolens.page.getByRole('alert')).toHaveAttribute('data-code', 'not-found');
    await expect(monolens.page.getByText('mono-tiny is still here.').first()).toBeVisible();
    await works(monolens);
    // What was wrong is to be read until the visitor has done so.
    await monolens.page.getByRole('button', { name: 'Dismiss' }).click();
    await expect(monolens.page.getByRole('alert')).toHaveCount(0);
    // The next visit has the model that works.
    await monolens.page.reload();
    await monolens.ready();
    await expect(monolens.page.getByRole('button', { name: /^Model:/ })).toContainText('mono-tiny');
  });

  test('where the page could never read it, which is said in the field', async ({ monolens, site }) => {
    await monolens.open(site.url);
    const { page } = monolens;
    await page.getByRole('button', { name: /^Model:/ }).click();
    const field = page.getByLabel(/^Address of the folder/);
    for (const [address, why] of [
      ['http://nas.example/model', /^This page reads models over https, and over http from this computer only/],
      ['ftp://example.org/model', /^Models are read over http and https, not ftp:/],
    ] as const) {
      await field.fill(address);
      await page.getByRole('button', { name: 'Load', exact: true }).click();
      expect(await field.evaluate((input: HTMLInputElement) => input.validationMessage)).toMatch(why);
    }
    await expect(page.getByRole('dialog', { name: 'Model' })).toBeVisible();
  });

  test('where the folder is no model', async ({ monolens, site }) => {
    await monolens.open(site.url);
    await monolens.page.getByRole('button', { name: /^Model:/ }).click();
    await monolens.page.getByLabel('Files of a model').setInputFiles(join(ROOT, 'examples'));
    await expect(monolens.page.getByRole('alert')).toHaveAttribute('data-code', 'not-found');
    await works(monolens);
  });

  test('where loading was cancelled', async ({ monolens, site }) => {
    await monolens.open(site.url);
    site.faults = [{ path: /golden/, delay: 3000 }];
    await load(monolens, `${site.url}golden/mono-v1/bf16/`);
    await monolens.page.getByRole('button', { name: 'Cancel' }).click();
    await expect(monolens.page.getByText('Loading was cancelled.')).toBeVisible();
    await expect(monolens.loading).toBeHidden();
    await works(monolens);
  });

  test('again where its weights are damaged, which shows when they have taken its place', async ({ monolens, site }) => {
    const other = await Site.start({ '/damaged/': join(ROOT, 'web/dist/models/mono-tiny') }, { cors: true });
    other.faults = [{ path: /model\.safetensors$/, flipByte: 5_000_000 }];
    await monolens.open(site.url);
    await load(monolens, `${other.url}damaged/`);
    await expect(monolens.page.getByRole('alert')).toHaveAttribute('data-code', 'corrupt');
    await monolens.ready();
    await expect(monolens.page.getByRole('alert')).toHaveAttribute('data-code', 'corrupt');
    await works(monolens);
    await other.stop();
  });
});

test('weights, keys and values can be kept in fewer bits, also on the next visit', async ({ monolens, site }) => {
  await monolens.open(site.url);
  await monolens.openInside();
  const memory = async () => {
    const text = await monolens.figure('Memory');
    const bytes = (name: string) => {
      const [, number, unit] = new RegExp(`${name} ([\\d.]+) ([kM])B`).exec(text) ?? [];
      return Number(number) * (unit === 'M' ? 1e6 : 1e3);
    };
    return { weights: bytes('weights'), cache: bytes('cache') };
  };
  const before = await memory();
  await monolens.page.getByRole('button', { name: /^Model:/ }).click();
  const dialog = monolens.page.getByRole('dialog', { name: 'Model' });
  await dialog.getByLabel('Weights').selectOption('8bit');
  await dialog.getByLabel(/^Keys and values/).selectOption('8bit');
  await dialog.getByRole('button', { name: 'Load the current model this way' }).click();
  await monolens.ready();
  const smaller = { weights: before.weights * 0.7, cache: before.cache * 0.7 };
  for (const visit of ['this', 'next']) {
    if (visit === 'next') await monolens.page.reload();
    await monolens.ready();
    await expect.poll(async () => (await memory()).cache, visit).toBeLessThan(smaller.cache);
    expect((await memory()).weights, visit).toBeLessThan(smaller.weights);
  }
  await monolens.choose(example('guitar.png'));
  const native = ask(QUESTION, ['examples/guitar.png'], 'models/mono-tiny', '--weights', '8bit', '--kv', '8bit');
  expect(await monolens.ask(QUESTION)).toBe(native.answer);
});

test.describe('a model from an address', () => {
  test('on another server is loaded once and kept', async ({ monolens, site }) => {
    const other = await Site.start({ '/': join(ROOT, 'tests/golden/mono-v1') }, { cors: true });
    await monolens.open(site.url);
    await load(monolens, `${other.url}bf16`);
    await monolens.ready();
    await monolens.openInside();
    const answer = async () => {
      await monolens.choose(example('example.png'));
      await monolens.ask(QUESTION);
      return monolens.answerTokens();
    };
    const native = ask(QUESTION, ['examples/example.png'], 'tests/golden/mono-v1/bf16');
    expect(await answer()).toBe(native.stats.generated_tokens);
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
  const chooseFolder = async (page: import('@playwright/test').Page, folder: string) => {
    await page.getByRole('button', { name: /^Model:/ }).click();
    await page.getByLabel('Files of a model').setInputFiles(folder);
  };

  test('is read in slices and answers as the native command does', async ({ monolens, site }) => {
    await monolens.open(site.url);
    await chooseFolder(monolens.page, join(ROOT, 'tests/golden/mono-v1/sharded'));
    await monolens.ready();
    await monolens.choose(example('example.png'));
    const native = ask(QUESTION, ['examples/example.png'], 'tests/golden/mono-v1/sharded');
    await monolens.openInside();
    await monolens.ask(QUESTION);
    expect(await monolens.answerTokens()).toBe(native.stats.generated_tokens);
  });

  test('can be dropped, and nothing of it leaves the browser', async ({ monolens, site }) => {
    await monolens.open(site.url);
    const folder = join(ROOT, 'tests/golden/mono-v1/bf16');
    // As from a file manager: the browser itself makes files and folders of the paths.
    const session = await monolens.page.context().newCDPSession(monolens.page);
    const data = { items: [], files: [folder], dragOperationsMask: 1 };
    const sent: string[] = [];
    monolens.page.on('request', (request) => {
      if (request.method() !== 'GET' && request.method() !== 'HEAD') sent.push(request.url());
    });
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      await session.send('Input.dispatchDragEvent', { type, x: 300, y: 300, data });
    }
    await expect(monolens.page.getByRole('button', { name: /^Model:/ })).toContainText('bf16');
    await monolens.ready();
    await monolens.openInside();
    await monolens.choose(example('example.png'));
    await monolens.ask(QUESTION);
    const native = ask(QUESTION, ['examples/example.png'], 'tests/golden/mono-v1/bf16');
    expect(await monolens.answerTokens()).toBe(native.stats.generated_tokens);
    expect(sent).toEqual([]);
  });

  test('with truncated weights is refused with a reason', async ({ monolens, site }) => {
    const folder = await mkdtemp(join(tmpdir(), 'monolens-model-'));
    await cp(join(ROOT, 'tests/golden/mono-v1/bf16'), folder, { recursive: true });
    await truncate(join(folder, 'model.safetensors'), 300_000);
    await monolens.open(site.url);
    await chooseFolder(monolens.page, folder);
    await expect(monolens.page.getByRole('alert')).toHaveAttribute('data-code', /bad-model|wrong-size/);
    await rm(folder, { recursive: true });
  });
});
