/** A folder of this repository under the address that a model has on Hugging Face. */
import type { Page } from '@playwright/test';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Answers requests for a model's files from `folder`, by ranges, as the hub does. Gives the names that were asked for. */
export async function hub(page: Page, model: string, folder: string): Promise<string[]> {
  const asked: string[] = [];
  const files = `https://huggingface.co/${model}/resolve/main/`;
  const common = { 'access-control-allow-origin': '*', 'access-control-allow-headers': 'range', 'access-control-expose-headers': '*' };
  await page.context().route('https://huggingface.co/**', async (route) => {
    const request = route.request();
    if (request.method() === 'OPTIONS') return route.fulfill({ status: 204, headers: common });
    const url = request.url();
    const name = url.startsWith(files) ? url.slice(files.length) : undefined;
    asked.push(name ?? url);
    // The hub has no manifest of ours.
    const wanted = name !== undefined && name !== 'manifest.json';
    const bytes = wanted ? await readFile(join(folder, name)).catch(() => undefined) : undefined;
    if (!bytes) return route.fulfill({ status: 404, headers: common });
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers()['range'] ?? '') ?? [];
    if (from === undefined) return route.fulfill({ status: 200, headers: common, body: bytes });
    const body = bytes.subarray(Number(from), Number(to) + 1);
    const range = `bytes ${from}-${Number(from) + body.length - 1}/${bytes.length}`;
    return route.fulfill({ status: 206, headers: { ...common, 'content-range': range }, body });
  });
  return asked;
}
