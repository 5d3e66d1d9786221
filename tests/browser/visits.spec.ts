/** What stays from one visit to the next, and what two tabs have to do with each other. */
import { expect, test } from './lib/browser.ts';
import { example, MonolensPage, ON_CPU, slowly, TALKATIVE } from './lib/monolens-page.ts';

test('a reload in the middle of an answer keeps what had come', async ({ monolens, site }) => {
  await slowly(monolens.page);
  await monolens.open(site.url, ON_CPU + TALKATIVE);
  const { page } = monolens;
  await monolens.setLongest(5000);
  await monolens.send('Hello');
  const length = async () => (await monolens.answerText.innerText()).length;
  await expect.poll(length).toBeGreaterThan(100);
  const early = await length();
  // Several times what may be lost.
  await page.waitForTimeout(1500);
  expect(await length()).toBeGreaterThan(early);
  await expect(monolens.answers).toHaveAttribute('aria-busy', 'true');
  await page.reload();
  await monolens.ready();
  await expect(monolens.answers).toHaveAttribute('aria-busy', 'false');
  expect(await length()).toBeGreaterThanOrEqual(early);
  await expect(monolens.answers.getByText('stopped')).toBeVisible();
  // The conversation goes on from there.
  await monolens.setLongest(4);
  await monolens.ask('And?');
});

test('what was being written and shown is there again after a reload', async ({ monolens, site }) => {
  await monolens.open(site.url);
  const { page } = monolens;
  await monolens.choose(example('rocket.png'), example('dog.png'));
  await page.getByRole('button', { name: 'Remove dog.png' }).click();
  // A picture alone is not sent, and it is said why.
  await monolens.question.press('Enter');
  await expect(page.getByText('Write a question about the picture, too.')).toBeVisible();
  await monolens.question.fill('What is');
  await expect(page.getByText('Write a question about the picture, too.')).toHaveCount(0);
  await page.waitForTimeout(1000);
  await page.reload();
  await monolens.ready();
  await expect(monolens.question).toHaveValue('What is');
  await expect(monolens.attached).toHaveCount(1);
  await expect(monolens.attached.getByRole('img', { name: 'rocket.png' })).toBeVisible();
  await monolens.ask('What is this?');
  await page.reload();
  await monolens.ready();
  await expect(monolens.question).toHaveValue('');
  await expect(monolens.attached).toHaveCount(0);
});

test('what the address says of the weights counts for that visit, and what it says wrongly is told', async ({ monolens, site }) => {
  const { page } = monolens;
  const chosen = async () => {
    await page.getByRole('button', { name: /^Model:/ }).click();
    const weights = await page.getByLabel('Weights').inputValue();
    await page.keyboard.press('Escape');
    return weights;
  };
  await monolens.open(site.url, `${ON_CPU}&weights=4bit`);
  await monolens.ask('Hello');
  expect(await chosen()).toBe('4bit');
  await monolens.open(site.url);
  expect(await chosen()).toBe('');

  await monolens.open(site.url, `${ON_CPU}&weights=3bit&context=abc`);
  const told = page.getByText(/^This page's address says what is not used: "weights=3bit" \(expected 8bit or 4bit/);
  await expect(told).toContainText('"context=abc" (expected a whole number over 0).');
  expect(await chosen()).toBe('');
  await monolens.ask('Hello');
});

test('two tabs have a conversation each, and each tab finds its own again', async ({ context, monolens, site }) => {
  const elsewhere = 'The page is open in another tab too. Each tab has a conversation of its own.';
  await monolens.open(site.url);
  await expect(monolens.page.getByText(elsewhere)).toHaveCount(0);
  await monolens.ask('First?');
  const other = new MonolensPage(await context.newPage());
  await other.open(site.url);
  await expect(other.page.getByText(elsewhere)).toBeVisible();
  await expect(other.answers).toHaveCount(0);
  await other.ask('Second?');
  await monolens.ask('Third?');
  for (const { tab, questions } of [
    { tab: monolens, questions: ['First?', 'Third?'] },
    { tab: other, questions: ['Second?'] },
  ]) {
    await tab.page.reload();
    await tab.ready();
    await expect(tab.page.getByRole('article', { name: 'Your question' })).toHaveText(questions);
  }
  // The first is free for a new tab once its own is closed.
  await monolens.page.close();
  const third = new MonolensPage(await context.newPage());
  await third.open(site.url);
  await expect(third.page.getByRole('article', { name: 'Your question' })).toHaveText(['First?', 'Third?']);
});
