/**
 * The page in Firefox and in WebKit (Safari's engine): it loads, answers as the native command does, shows where it looked
 * and is there again after a reload. Firefox has its own WebGPU, whose compiler is another one than Chromium's, and offers
 * f16 also on a software device: the operators run there too.
 */
import { test as base, expect } from '@playwright/test';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ON_CPU, ON_GPU } from './lib/monolens-page.ts';
import { ask, ROOT } from './lib/native.ts';
import { firefox, webkit, type OtherBrowser } from './lib/other-browsers.ts';
import { Site } from './lib/site.ts';

const SCREENSHOTS = join(ROOT, 'tests/browser/screenshots');
const QUESTION = 'What is this?';
/** Fewer than in Chromium: what differs here is the compiler, which sees all kernels with these already. */
const CASES = 3;

const test = base.extend<{ site: Site }>({
  // eslint-disable-next-line no-empty-pattern -- Playwright reads the names out of the pattern.
  site: async ({}, use) => {
    const site = await Site.start({
      '/': join(ROOT, 'web/dist'),
      '/blank/': join(ROOT, 'tests/browser/blank'),
      '/engine/': join(ROOT, 'web/src/wasm'),
      '/harness/': join(ROOT, 'target/browser-harness'),
    });
    await use(site);
    await site.stop();
  },
});

/** Starts a browser for one test, which is skipped, and says so, where there is none. */
async function within(start: () => Promise<OtherBrowser | undefined>, work: (browser: OtherBrowser) => Promise<void>): Promise<void> {
  const browser = await start();
  test.skip(browser === undefined, 'SKIPPED: this browser is not installed');
  if (!browser) return;
  try {
    await work(browser);
  } finally {
    await browser.close();
  }
}

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
      await expect.poll(looked).toMatch(/gave \d+ % of its attention to the picture/);
      await mkdir(SCREENSHOTS, { recursive: true });
      await browser.screenshot(join(SCREENSHOTS, `${name}.png`));

      await browser.reload();
      await expect.poll(answer).toBe(native);
      const pictures = () => browser.run(() => [...document.querySelectorAll<HTMLImageElement>('.question img')].map((image) => image.naturalWidth > 0));
      await expect.poll(pictures).toEqual([true]);
    });
  });
}

for (const tier of ['baseline', 'half']) {
  test(`Firefox on WebGPU: operators at tier ${tier}`, async ({ site }) => {
    await within(
      () => firefox(true),
      async (browser) => {
        await browser.open(`${site.url}blank/`);
        test.skip(!(await browser.run(hasAdapter)), 'SKIPPED: there is no WebGPU adapter');
        const outcome = await browser.run(
          async (tier, cases) => {
            const harness = (await import(new URL('/harness/monolens_browser_tests.js', location.href).href)) as Harness;
            await harness.default();
            return harness.parity(tier, true, cases);
          },
          tier,
          CASES,
        );
        test.skip(tier !== 'baseline' && outcome.skipped !== undefined, `SKIPPED: ${outcome.skipped}`);
        expect(outcome.skipped, 'why nothing was run').toBeUndefined();
        for (const [operator, share] of outcome.operators) console.log(`  ${operator.padEnd(24)} ${(share * 100).toPrecision(2)} %`);
        expect(outcome.failures).toEqual([]);
        expect(outcome.operators.length).toBeGreaterThan(20);
      },
    );
  });
}

interface Harness {
  default(): Promise<void>;
  parity(tier: string, fused: boolean, cases: number): Promise<Outcome>;
}

interface Outcome {
  skipped?: string;
  operators: [operator: string, share: number][];
  failures: string[];
}
