/** What goes wrong on real machines: lost devices, no WebGPU, odd pictures. */
import { PNG } from 'pngjs';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from './lib/browser.ts';
import { example, ON_GPU, TALKATIVE } from './lib/monolens-page.ts';
import { ask, ROOT } from './lib/native.ts';

const QUESTION = 'What is this?';

test('the self-test passes on this device', async ({ monolens, site }) => {
  await monolens.open(site.url);
  await monolens.openInside();
  await expect.poll(() => monolens.figure('Self-test')).toMatch(/^passed/);
});

test('a device that computes wrongly is shown, not hidden', async ({ monolens, site }) => {
  // What the official code gives is changed on the way, its hash too, so that this device seems to be the one that is wrong.
  const wrong = (text: string): string => text.replace(/"generated":\s*\[\s*\d+/, '"generated":[7');
  const bytes = Buffer.from(wrong(await readFile(join(ROOT, 'web/dist/selftest/selftest.json'), 'utf8')));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const rehashed = (text: string): string => {
    const manifest = JSON.parse(text) as { files: Record<string, unknown> };
    manifest.files['selftest.json'] = { size: bytes.length, sha256, chunks: [sha256] };
    return JSON.stringify(manifest);
  };
  site.faults = [
    { path: /selftest\/selftest\.json$/, edit: wrong },
    { path: /selftest\/manifest\.json$/, edit: rehashed },
  ];
  await monolens.open(site.url);
  await expect(monolens.page.getByText('This device computes wrongly.')).toBeVisible();
});

test('a device that is lost in the middle of an answer comes back, and the answer goes on', async ({ monolens, site }) => {
  await monolens.open(site.url, ON_GPU + TALKATIVE);
  await monolens.openInside();
  await monolens.choose(example('example.png'));
  await monolens.send(QUESTION);
  await expect(monolens.answerText).not.toBeEmpty();
  // Not a click, which waits for frames: the software GPU draws none while it computes, and the answer would be whole by then.
  await monolens.page.getByRole('button', { name: /Lose the GPU/ }).dispatchEvent('click');
  await expect(monolens.page.getByText(/The GPU was reset|The GPU is back/)).toBeVisible();
  await monolens.whole();
  const native = ask(QUESTION, ['examples/example.png'], 'tests/golden/mono-v1/bf16');
  expect(await monolens.answerTokens()).toBe(native.stats.generated_tokens);
});

test.describe('without WebGPU', () => {
  test.use({ webgpu: false });

  test('the page says what to do, and answers on the CPU', async ({ monolens, site }) => {
    await monolens.open(site.url, '');
    const help = monolens.page.getByText('Running on the CPU: how to use the GPU');
    await expect(help).toBeVisible();
    // One line, until somebody wants to know.
    await expect(monolens.page.getByText(/The small model answers all the same/)).toBeHidden();
    await help.click();
    await expect(monolens.page.getByText(/The small model answers all the same/)).toBeVisible();
    await monolens.choose(example('strawberry.png'));
    expect(await monolens.ask(QUESTION)).toBe(ask(QUESTION, ['examples/strawberry.png']).answer);
  });

  test('a GPU that was asked for and is not there is an error with a way out', async ({ monolens, site }) => {
    await monolens.page.goto(`${site.url}?backend=wgpu`);
    await expect(monolens.page.getByRole('alert')).toHaveAttribute('data-code', 'unavailable');
    await monolens.page.getByRole('button', { name: 'Use mono-tiny' }).click();
    await monolens.ready();
  });
});

/** A grey TIFF without compression: a head, the pixels, and a directory that says where they are. */
function tiff(width: number, height: number): Buffer {
  const pixels = Buffer.alloc(width * height, 150);
  const entries: [tag: number, type: number, value: number][] = [
    [256, 4, width],
    [257, 4, height],
    [258, 3, 8],
    [259, 3, 1],
    [262, 3, 1],
    [273, 4, 8],
    [277, 3, 1],
    [278, 4, height],
    [279, 4, pixels.length],
  ];
  const head = Buffer.from([0x49, 0x49, 42, 0, 0, 0, 0, 0]);
  head.writeUInt32LE(8 + pixels.length, 4);
  const directory = Buffer.alloc(2 + 12 * entries.length + 4);
  directory.writeUInt16LE(entries.length, 0);
  for (const [i, [tag, type, value]] of entries.entries()) {
    directory.writeUInt16LE(tag, 2 + 12 * i);
    directory.writeUInt16LE(type, 4 + 12 * i);
    directory.writeUInt32LE(1, 6 + 12 * i);
    directory.writeUInt32LE(value, 10 + 12 * i);
  }
  return Buffer.concat([head, pixels, directory]);
}

test.describe('odd pictures', () => {
  let folder = '';
  test.beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'monolens-pictures-'));
    const flat = async (name: string, width: number, height: number) => {
      const png = new PNG({ width, height });
      png.data.fill(200);
      await writeFile(join(folder, name), PNG.sync.write(png));
    };
    await flat('dot.png', 1, 1);
    await flat('huge.png', 6000, 5000);
    await flat('too-large.png', 9000, 6000);
    await writeFile(join(folder, 'plain.tiff'), tiff(90, 60));
    await writeFile(join(folder, 'no-picture.png'), 'this is no picture');
  });
  test.afterAll(() => rm(folder, { recursive: true }));

  for (const name of ['dot.png', 'huge.png', 'plain.tiff']) {
    test(`${name} is answered as the native command answers`, async ({ monolens, site }) => {
      await monolens.open(site.url);
      await monolens.choose(join(folder, name));
      expect(await monolens.ask(QUESTION)).toBe(ask(QUESTION, [join(folder, name)]).answer);
    });
  }

  test('one that the browser cannot show has a grey picture of its shape in its place', async ({ monolens, site }) => {
    await monolens.open(site.url);
    await monolens.choose(join(folder, 'plain.tiff'));
    const shape = () =>
      monolens.attached.getByRole('img').evaluate((image: HTMLImageElement) => image.naturalWidth / image.naturalHeight);
    await expect.poll(shape).toBeCloseTo(1.5);
  });

  test('one that is too large is refused with its size and the limit', async ({ monolens, site }) => {
    await monolens.open(site.url);
    await monolens.page.getByLabel('Picture files').setInputFiles(join(folder, 'too-large.png'));
    await expect(monolens.page.getByText(/^too-large.png: .* at most 50000000 pixels, got 9000x6000\.$/)).toBeVisible();
    await expect(monolens.attached).toHaveCount(0);
  });

  test('what is no picture is refused with a reason, and the next one works', async ({ monolens, site }) => {
    await monolens.open(site.url);
    await monolens.page.getByLabel('Picture files').setInputFiles(join(folder, 'no-picture.png'));
    await expect(monolens.page.getByText(/cannot be read/)).toBeVisible();
    await expect(monolens.attached).toHaveCount(0);
    await monolens.choose(example('rocket.png'));
    await expect(monolens.page.getByText(/cannot be read/)).toHaveCount(0);
    await monolens.ask(QUESTION);
  });
});
