/** A browser as tests need it: Debian's Chromium with software WebGPU, a profile of its own, and a page that is watched. */
import { chromium, expect, test as base, type BrowserContext, type Page } from '@playwright/test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MonolensPage } from './monolens-page.ts';
import { ROOT } from './native.ts';
import { Site } from './site.ts';

const ARGS = [
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  // A camera that shows a test picture, and nobody who has to allow it.
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
];
/** Without the first flag headless Chromium has no adapter at all. */
const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

interface Fixtures {
  /** Whether the browser offers WebGPU. */
  webgpu: boolean;
  /** Servers that the page may ask besides this machine. */
  hosts: string[];
  site: Site;
  monolens: MonolensPage;
}

export const test = base.extend<Fixtures>({
  webgpu: [true, { option: true }],
  hosts: [[], { option: true }],

  // The built page, as any static host would serve it.
  // eslint-disable-next-line no-empty-pattern -- Playwright reads the names out of the pattern.
  site: async ({}, use) => {
    const site = await Site.start({
      '/': join(ROOT, 'web/dist'),
      '/golden/': join(ROOT, 'tests/golden'),
      '/lib/': join(ROOT, 'web/dist-lib'),
      '/pages/': join(ROOT, 'tests/browser/pages'),
    });
    await use(site);
    await site.stop();
  },

  context: async ({ webgpu }, use) => {
    const profile = await mkdtemp(join(tmpdir(), 'monolens-browser-'));
    const context = await launch(profile, webgpu);
    await use(context);
    await context.close();
    await rm(profile, { recursive: true, force: true });
  },

  page: async ({ context, hosts }, use) => {
    const page = await context.newPage();
    const problems = watch(page, hosts);
    await use(page);
    expect(problems, 'uncaught errors, and requests to other origins').toEqual([]);
  },

  monolens: async ({ page }, use) => {
    await use(new MonolensPage(page));
  },
});

/** Chromium with a profile folder; OPFS lives in it. */
export function launch(profile: string, webgpu: boolean): Promise<BrowserContext> {
  return chromium.launchPersistentContext(profile, {
    executablePath: process.env['MONOLENS_CHROMIUM'] ?? '/usr/bin/chromium',
    chromiumSandbox: false,
    headless: true,
    args: webgpu ? [...ARGS, ...WEBGPU] : [...ARGS, '--disable-features=WebGPU,WebGPUService'],
    viewport: { width: 1280, height: 900 },
    permissions: ['clipboard-read', 'clipboard-write'],
  });
}

/** Notes what must never happen on the page. */
function watch(page: Page, hosts: string[]): string[] {
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(`uncaught: ${error.message}`));
  page.on('request', (request) => {
    const url = new URL(request.url());
    const local = url.protocol === 'blob:' || url.protocol === 'data:' || url.hostname === 'localhost';
    if (!local && !hosts.includes(url.hostname)) problems.push(`request to ${url.origin}`);
  });
  page.on('console', (message) => {
    if (/Content[- ]Security[- ]Policy/i.test(message.text())) problems.push(message.text());
  });
  return problems;
}

export { expect };
