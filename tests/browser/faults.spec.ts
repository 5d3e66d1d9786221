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
    await writeFile(join(folder, 'no-picture.png'), 'this is no picture');
  });
  test.afterAll(() => rm(folder, { recursive: true }));

  for (const name of ['dot.png', 'huge.png']) {
    test(`${name} is answered as the native command answers`, async ({ monolens, site }) => {
      await monolens.open(site.url);
      await monolens.choose(join(folder, name));
      expect(await monolens.ask(QUESTION)).toBe(ask(QUESTION, [join(folder, name)]).answer);
    });
  }

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
