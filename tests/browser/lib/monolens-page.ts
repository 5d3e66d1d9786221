/** The page as a visitor sees it, by the names that a screen reader reads. */
import { expect, type Locator, type Page } from '@playwright/test';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ROOT } from './native.ts';

/**
 * On software WebGPU, which the page takes only when it is told to. It compiles kernels for most of a minute on two cores, so
 * only tests of what WebGPU does differently ask for it.
 */
export const ON_GPU = '?backend=wgpu&software=1';
export const ON_CPU = '?backend=cpu';
/** A tiny random model whose greedy answers are long: time to stop it, or to take its device away. */
export const TALKATIVE = '&model=golden/mono-v1/bf16/';

export const example = (name: string): string => join(ROOT, 'examples', name);

/** Makes whatever comes from the engine come slowly, as from a large model; the tiny one says 5,000 tokens a second. */
export async function slowly(page: Page): Promise<void> {
  await page.addInitScript((pause) => {
    window.Worker = class extends Worker {
      override addEventListener(type: string, heard: unknown): void {
        let last = Promise.resolve();
        super.addEventListener(type, (event) => {
          const turn = last.then(() => new Promise((resolve) => setTimeout(resolve, pause)));
          last = turn.then(() => {
            (heard as (event: Event) => void)(event);
          });
        });
      }
    };
  }, 10);
}

export class MonolensPage {
  constructor(readonly page: Page) {}

  /** Opens the page and waits until its model can be asked. */
  async open(url: string, query = ON_CPU): Promise<void> {
    await this.page.goto(url + query);
    await this.ready();
  }

  async ready(): Promise<void> {
    await expect(this.page.getByRole('button', { name: /^Model:/ })).not.toContainText('no model');
    await expect(this.loading).toBeHidden();
  }

  get loading(): Locator {
    return this.page.getByRole('progressbar', { name: 'Loading the model' });
  }

  get question(): Locator {
    return this.page.getByRole('textbox', { name: 'Question', exact: true });
  }

  get answers(): Locator {
    return this.page.getByRole('article', { name: 'Answer' });
  }

  /** The text of the newest answer, without the figures under it. */
  get answerText(): Locator {
    return this.answers.last().getByTestId('answer-text');
  }

  /** Pictures that wait to be sent. */
  get attached(): Locator {
    return this.page.getByRole('group', { name: 'Pictures to send' }).getByRole('figure');
  }

  async choose(...files: string[]): Promise<void> {
    await this.page.getByLabel('Picture files').setInputFiles(files);
    await expect(this.attached).toHaveCount(files.length);
  }

  /** Drops real files on the page, as from a file manager. */
  async drop(...files: string[]): Promise<void> {
    const contents = await Promise.all(
      files.map(async (file) => ({ name: basename(file), base64: (await readFile(file)).toString('base64') })),
    );
    const transfer = await this.page.evaluateHandle((given) => {
      const data = new DataTransfer();
      for (const { name, base64 } of given) {
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        data.items.add(new File([bytes], name, { type: 'image/png' }));
      }
      return data;
    }, contents);
    for (const type of ['dragenter', 'dragover', 'drop']) {
      await this.page.dispatchEvent('body', type, { dataTransfer: transfer });
    }
    await expect(this.attached).toHaveCount(files.length);
  }

  /** Sets how many tokens an answer may have. */
  async setLongest(tokens: number): Promise<void> {
    await this.page.getByRole('button', { name: 'Settings' }).click();
    await this.page.getByLabel('Longest answer').fill(String(tokens));
    await this.page.keyboard.press('Escape');
  }

  async send(text: string): Promise<void> {
    await this.question.fill(text);
    await this.question.press('Enter');
  }

  /** Asks, waits for the whole answer and gives its text. */
  async ask(text: string): Promise<string> {
    const before = await this.answers.count();
    await this.send(text);
    await expect(this.answers).toHaveCount(before + 1);
    return this.whole();
  }

  /** The newest answer's text once it is whole. */
  async whole(): Promise<string> {
    await expect(this.answers.last()).toHaveAttribute('aria-busy', 'false');
    return (await this.answerText.innerText()).trim();
  }

  /** A figure of the panel "See inside". */
  async figure(name: string): Promise<string> {
    const panel = this.page.getByRole('complementary', { name: 'See inside' });
    return panel.locator(`dt:text-is("${name}") + dd`).innerText();
  }

  /** Tokens of the newest answer as the native command counts them: what ended it too. */
  async answerTokens(): Promise<number> {
    const text = await this.figure('Answer');
    return Number(/^[\d,]+/.exec(text)?.[0].replace(',', '')) + (text.endsWith(' and the end') ? 1 : 0);
  }

  async openInside(): Promise<void> {
    const toggle = this.page.getByRole('button', { name: 'See inside', exact: true });
    if ((await toggle.getAttribute('aria-expanded')) !== 'true') await toggle.click();
  }
}
