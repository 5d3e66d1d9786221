/** A blank page from which tests import the engine's module and the harness (`tests/wasm`), without the demo. */
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { expect, test as base } from './browser.ts';
import { ROOT } from './native.ts';
import { Site } from './site.ts';

/** Serves the blank page, the engine and the harness. */
export function engineSite(): Promise<Site> {
  return Site.start({
    '/': join(ROOT, 'tests/browser/blank'),
    '/engine/': join(ROOT, 'web/src/wasm'),
    '/harness/': join(ROOT, 'target/browser-harness'),
    '/public/': join(ROOT, 'web/public'),
  });
}

export const test = base.extend<{ enginePage: Page }>({
  enginePage: async ({ page }, use) => {
    const site = await engineSite();
    await page.goto(site.url);
    await use(page);
    await site.stop();
  },
});

export { expect };
