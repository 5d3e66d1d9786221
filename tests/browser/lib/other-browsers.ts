/** Browsers besides Chromium, as far as tests of the page drive them. Each is the one that the system has. */
import { test } from '@playwright/test';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { launch } from 'puppeteer-core';
import { Builder, Capabilities } from 'selenium-webdriver';
import { engineSite } from './engine.ts';

const FIREFOX = '/usr/bin/firefox-esr';
const WEBKIT_DRIVER = '/usr/bin/WebKitWebDriver';
/** Wide enough for "See inside" to be open from the beginning. */
const WINDOW = { width: 1280, height: 900 };
const XVFB = '/usr/bin/Xvfb';

export interface OtherBrowser {
  open(url: string): Promise<void>;
  reload(): Promise<void>;
  /** Runs a function in the page, on plain values. */
  run<Args extends unknown[], Result>(work: (...args: Args) => Result, ...args: Args): Promise<Awaited<Result>>;
  screenshot(path: string): Promise<void>;
  close(): Promise<void>;
}

/** Firefox; on Linux its WebGPU has to be switched on. Nothing where it is not installed. */
export async function firefox(webgpu: boolean): Promise<OtherBrowser | undefined> {
  if (!existsSync(FIREFOX)) return undefined;
  const browser = await launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    extraPrefsFirefox: { 'dom.webgpu.enabled': webgpu, 'gfx.webgpu.ignore-blocklist': webgpu },
    // Software WebGPU compiles for as long as it takes.
    protocolTimeout: 600_000,
  });
  const page = await browser.newPage();
  await page.setViewport(WINDOW);
  return {
    open: async (url) => {
      await page.goto(url);
    },
    reload: async () => {
      await page.reload();
    },
    run: (work, ...args) => page.evaluate(work as (...given: unknown[]) => never, ...args),
    screenshot: async (path) => writeFile(path, await page.screenshot()),
    close: () => browser.close(),
  };
}

/** WebKitGTK's own small browser, which has Safari's engine but no WebGPU. Nothing where it is not installed. */
export async function webkit(): Promise<OtherBrowser | undefined> {
  if (!existsSync(WEBKIT_DRIVER) || !existsSync(XVFB)) return undefined;
  const display = spawn(XVFB, ['-displayfd', '1', '-screen', '0', '1400x1000x24'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const number = await firstLine(display);
  const port = await freePort();
  const driver = spawn(WEBKIT_DRIVER, [`--port=${port}`], { env: { ...process.env, DISPLAY: `:${number}` }, stdio: 'ignore' });
  const end = () => {
    driver.kill();
    display.kill();
  };
  try {
    const server = `http://127.0.0.1:${port}`;
    await answering(server);
    const browser = await new Builder().usingServer(server).withCapabilities(new Capabilities({ browserName: 'MiniBrowser' })).build();
    await browser.manage().window().setRect(WINDOW);
    return {
      open: (url) => browser.get(url),
      reload: () => browser.navigate().refresh(),
      run: (work, ...args) => browser.executeScript(work, ...args),
      screenshot: async (path) => writeFile(path, await browser.takeScreenshot(), 'base64'),
      close: async () => {
        await browser.quit();
        end();
      },
    };
  } catch (error) {
    end();
    throw error;
  }
}

/** Starts a browser for one test, which is skipped, and says so, where there is none. */
export async function within(start: () => Promise<OtherBrowser | undefined>, work: (browser: OtherBrowser) => Promise<void>): Promise<void> {
  const browser = await start();
  test.skip(browser === undefined, 'SKIPPED: this browser is not installed');
  try {
    if (browser) await work(browser);
  } finally {
    await browser?.close();
  }
}

/** Does `work` on the blank page with the engine beside it, in Firefox with WebGPU. */
export async function onBlankInFirefox(work: (browser: OtherBrowser) => Promise<void>): Promise<void> {
  const site = await engineSite();
  const opened = async (browser: OtherBrowser) => {
    await browser.open(site.url);
    await work(browser);
  };
  try {
    await within(() => firefox(true), opened);
  } finally {
    await site.stop();
  }
}

async function firstLine(process: ChildProcess): Promise<string> {
  if (!process.stdout) throw new Error('a process without output');
  for await (const line of createInterface(process.stdout)) return line;
  throw new Error(`${process.spawnfile} ended without a word`);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => {
        resolve(port);
      });
    });
  });
}

/** Waits until a driver that was just started takes requests. */
async function answering(server: string): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await fetch(`${server}/status`);
      return;
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
