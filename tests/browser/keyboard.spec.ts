/** Where the keyboard is after what it was on has gone: what is typed next must not go nowhere. */
import type { Locator } from '@playwright/test';
import { expect, test } from './lib/browser.ts';
import { example } from './lib/monolens-page.ts';

/** Presses Enter on something that goes away by it. */
const enter = async (on: Locator): Promise<void> => {
  await on.focus();
  await on.press('Enter');
};

test('a question can be typed after an example, a suggestion, a retry and an edit', async ({ monolens, site }) => {
  await monolens.open(site.url);
  const { page, question } = monolens;
  await enter(page.getByRole('button', { name: 'What is this?' }).first());
  await expect(question).toBeFocused();
  // While the answer comes as well as afterwards.
  await page.keyboard.type('Is it a cat?');
  await expect(question).toHaveValue('Is it a cat?');
  await monolens.whole();
  await expect(question).toBeFocused();
  await question.fill('');

  await enter(page.locator('#follow-ups').getByRole('button').first());
  await expect(monolens.answers).toHaveCount(2);
  await expect(question).toBeFocused();
  await monolens.whole();

  await enter(page.getByRole('button', { name: 'Retry' }).last());
  await expect(question).toBeFocused();
  await monolens.whole();

  await enter(page.getByRole('button', { name: 'Edit question' }).last());
  await page.getByRole('textbox', { name: 'Edit question' }).press('Escape');
  await expect(page.getByRole('button', { name: 'Edit question' }).last()).toBeFocused();
  await page.keyboard.press('Enter');
  await enter(page.getByRole('button', { name: 'Ask again' }));
  await expect(question).toBeFocused();
  await monolens.whole();
});

test('the focus stays on the page when pictures, notices and stored models go away', async ({ monolens, site }) => {
  await monolens.open(site.url);
  const { page, question } = monolens;
  await monolens.choose(example('rocket.png'));
  await enter(page.getByRole('button', { name: 'Remove rocket.png' }));
  await expect(question).toBeFocused();

  await monolens.ask('Hello');
  await enter(page.getByRole('button', { name: 'New conversation' }));
  await expect(question).toBeFocused();
  await enter(page.getByRole('button', { name: 'Undo' }));
  await expect(question).toBeFocused();

  await enter(page.getByRole('button', { name: /^Model:/ }));
  await enter(page.getByRole('button', { name: /^Free all/ }));
  await expect(page.getByText('Nothing is stored.')).toBeVisible();
  await expect(page.getByLabel(/^Address of the folder/)).toBeFocused();
});

test.describe('on a touch screen', () => {
  test('no keyboard comes up over an answer that nobody typed for', async ({ context, site, monolens }) => {
    const { page } = monolens;
    const session = await context.newCDPSession(page);
    await session.send('Emulation.setTouchEmulationEnabled', { enabled: true });
    await session.send('Emulation.setDeviceMetricsOverride', { width: 390, height: 844, deviceScaleFactor: 2, mobile: true });
    await monolens.open(site.url);
    expect(await page.evaluate(() => matchMedia('(hover: none)').matches), 'a touch screen').toBe(true);
    await page.getByRole('button', { name: 'What is this?' }).first().click();
    await expect(monolens.answers).toHaveCount(1);
    await monolens.whole();
    await expect(monolens.question).not.toBeFocused();
  });
});
