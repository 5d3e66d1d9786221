/**
 * The page in Firefox and in WebKit (Safari's engine): it loads, answers as the native command does, shows where it looked
 * and is there again after a reload. Firefox has its own WebGPU, whose compiler is another one than Chromium's, and offers
 * f16 also on a software device, which Chromium does not: the operators run there at tier half.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from './lib/browser.ts';
import { ON_CPU, ON_GPU } from './lib/monolens-page.ts';
import { ask, ROOT } from './lib/native.ts';
import { firefox, onBlankInFirefox, webkit, within } from './lib/other-browsers.ts';

const SCREENSHOTS = join(ROOT, 'tests/browser/screenshots');
const QUESTION = 'What is this?';
/** Each way of storing weights once. */
const CASES = 5;

const hasAdapter = async () => {
  const { gpu } = navigator as unknown as { gpu?: { requestAdapter(): Promise<unknown> } };
  return Boolean(await gpu?.requestAdapter());
};

for (const { name, start, query } of [
  { name: 'Firefox on the CPU', start: () => firefox(false), query: ON_CPU },
  { name: 'Firefox on WebGPU', start: () => firefox(true), query: ON_GPU },
  { name: 'WebKit on the CPU', start: webkit, query: ON_CPU },
]) {
  test(`${name}: a picture is answered as the native command answers, also after a reload`, async ({ site }) => {
    await within(start, async (browser) => {
      await browser.open(site.url + query);
      if (query === ON_GPU) test.skip(!(await browser.run(hasAdapter)), 'SKIPPED: there is no WebGPU adapter');
      const ready = () => browser.run(() => document.querySelector<HTMLButtonElement>('#examples button')?.disabled === false);
      const answer = () => browser.run(() => document.querySelector('.answer[aria-busy=false] .markdown')?.textContent);
      const figures = () => browser.run(() => document.querySelector('.figures')?.textContent ?? '');
      await expect.poll(ready).toBe(true);
      await expect.poll(figures).toContain('passed, 1 case');
      await browser.run((question) => {
        const examples = [...document.querySelectorAll<HTMLButtonElement>('#examples button')];
        examples.find(({ textContent }) => textContent === question)?.click();
      }, QUESTION);
      const native = ask(QUESTION, ['examples/example.png']).answer;
      await expect.poll(answer).toBe(native);

      // See inside: where a word looked.
      const looked = () => browser.run(() => document.querySelector('.attention [role=status]')?.textContent);
      await browser.run(() => {
        const words = document.querySelectorAll('.answer .word');
        words[words.length - 1]?.dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
      });
      const word = native.split(' ').at(-1) ?? '';
      await expect.poll(looked).toMatch(new RegExp(`"${word}" gave \\d+ % of its attention to the picture`));
      await mkdir(SCREENSHOTS, { recursive: true });
      await browser.screenshot(join(SCREENSHOTS, `${name}.png`));

      await browser.reload();
      await expect.poll(answer).toBe(native);
      const pictures = () => browser.run(() => [...document.querySelectorAll<HTMLImageElement>('.question img')].map((image) => image.naturalWidth > 0));
      await expect.poll(pictures).toEqual([true]);
    });
  });
}

test('Firefox on WebGPU: operators at tier half', async () => {
  await onBlankInFirefox(async (browser) => {
    const outcome = await browser.run(async (cases) => {
      const harness = (await import(new URL('/harness/monolens_browser_tests.js', location.href).href)) as Harness;
      await harness.default();
      return harness.parity('half', true, cases);
    }, CASES);
    test.skip(outcome.skipped !== undefined, `SKIPPED: ${outcome.skipped}`);
    for (const [operator, share] of outcome.operators) console.log(`  ${operator.padEnd(24)} ${(share * 100).toPrecision(2)} %`);
    expect(outcome.failures).toEqual([]);
    expect(outcome.operators.length).toBeGreaterThan(20);
  });
});

interface Harness {
  default(): Promise<void>;
  parity(tier: string, fused: boolean, cases: number): Promise<Outcome>;
}

interface Outcome {
  skipped?: string;
  operators: [operator: string, share: number][];
  failures: string[];
}
