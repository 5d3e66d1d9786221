/** What visitors do by mistake, and what they are told then. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from './lib/browser.ts';
import { example, ON_CPU, slowly, TALKATIVE } from './lib/monolens-page.ts';
import { Site } from './lib/site.ts';

const QUESTION = 'What is this?';

test('a conversation that was cleared can be brought back, until the next question', async ({ monolens, site }) => {
  await monolens.page.setViewportSize({ width: 390, height: 844 });
  await monolens.open(site.url);
  const { page } = monolens;
  const cleared = page.getByText('The conversation was cleared.');
  await monolens.choose(example('rocket.png'));
  const answer = await monolens.ask(QUESTION);
  await monolens.question.fill('And the');
  await page.getByRole('button', { name: 'New conversation' }).click();
  await expect(monolens.answers).toHaveCount(0);
  await expect(cleared).toBeVisible();
  await expect(page.getByRole('heading', { name: 'Ask a picture a question' })).toBeInViewport();
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(cleared).toHaveCount(0);
  await expect(monolens.answerText).toHaveText(answer);
  await expect(monolens.question).toHaveValue('And the');
  // It is the same conversation, its picture too, also on the next visit.
  await page.reload();
  await monolens.ready();
  await expect(page.getByRole('img', { name: 'rocket.png' }).first()).toBeVisible();
  await monolens.ask('What colour is the background?');

  await page.getByRole('button', { name: 'New conversation' }).click();
  await monolens.ask('Hello');
  await expect(cleared).toHaveCount(0);
  await expect(monolens.answers).toHaveCount(1);
  // Nor does it stay for ever, and an empty conversation is nothing to bring back.
  await page.getByRole('button', { name: 'New conversation' }).click();
  await expect(cleared).toBeVisible();
  await expect(cleared).toHaveCount(0, { timeout: 20_000 });
  await page.getByRole('button', { name: 'New conversation' }).click();
  await expect(monolens.answers).toHaveCount(0);
  await expect(cleared).toHaveCount(0);
});

test('questions that went with an edit of an earlier one can be brought back', async ({ monolens, site }) => {
  await monolens.open(site.url);
  const { page } = monolens;
  const removed = page.getByText('The questions after it were removed.');
  const questions = page.getByRole('article', { name: 'Your question' });
  for (const text of ['One?', 'Two?']) await monolens.ask(text);
  await page.getByRole('button', { name: 'Retry' }).last().click();
  await monolens.whole();
  await expect(removed).toHaveCount(0);
  await page.getByRole('button', { name: 'Edit question' }).first().click();
  await page.getByRole('textbox', { name: 'Edit question' }).fill('Three?');
  await page.getByRole('button', { name: 'Ask again' }).click();
  await expect(questions).toHaveText(['Three?']);
  await expect(removed).toBeVisible();
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(questions).toHaveText(['One?', 'Two?']);
  await monolens.whole();
  await monolens.ask('Four?');
  await expect(questions).toHaveText(['One?', 'Two?', 'Four?']);
});

test('a double click asks once, and stops and opens nothing', async ({ monolens, site }) => {
  await slowly(monolens.page);
  await monolens.open(site.url, ON_CPU + TALKATIVE);
  const { page } = monolens;
  await monolens.setLongest(40);
  const ended = monolens.answers.last().getByText('ended at the most tokens allowed');
  await monolens.question.fill('Hello');
  await page.getByRole('button', { name: 'Send' }).dblclick({ delay: 80 });
  await monolens.whole();
  await expect(ended).toBeVisible();
  await page.getByRole('button', { name: 'Edit question' }).click();
  await page.getByRole('textbox', { name: 'Edit question' }).fill('Goodbye');
  await page.getByRole('button', { name: 'Ask again' }).dblclick({ delay: 80 });
  await monolens.whole();
  await expect(ended).toBeVisible();
  await expect(page.getByRole('article', { name: 'Your question' })).toHaveText(['Goodbye']);
  await expect(page.getByRole('textbox', { name: 'Edit question' })).toHaveCount(0);
});

test('a setting out of range stays to be seen, says what is expected, and is not used', async ({ monolens, site }) => {
  await monolens.open(site.url);
  const { page } = monolens;
  const dialog = page.getByRole('dialog', { name: 'Settings' });
  const field = dialog.getByLabel('Top p');
  const told = "Not used: a number from 0.01 to 1 is needed. The model's default is used instead.";
  await page.getByRole('button', { name: 'Settings' }).click();
  await field.fill('7');
  await dialog.getByLabel('Longest answer').fill('5');
  await expect(field).toHaveAccessibleDescription(told);
  await page.keyboard.press('Escape');
  await monolens.ask('Hello');
  await expect(page.getByRole('alert')).toHaveCount(0);
  await page.getByRole('button', { name: 'Settings' }).click();
  await expect(field).toHaveValue('7');
  await expect(field).toHaveAttribute('aria-invalid', 'true');
  await expect(field).toHaveAccessibleDescription(told);
  await expect(dialog.getByLabel('Longest answer')).toHaveAttribute('aria-invalid', 'false');
  await field.fill('0.9');
  await expect(field).toHaveAccessibleDescription('share of probability to draw from');
  await field.fill('7');
  await dialog.getByLabel('System prompt').fill('Be brief.');
  await dialog.getByRole('button', { name: "Model's defaults" }).click();
  // What was written is no number to be reset.
  await expect(dialog.getByLabel('System prompt')).toHaveValue('Be brief.');
  await expect(field).toHaveValue('');
  await expect(field).toHaveAttribute('aria-invalid', 'false');
});

test('a conversation that is full offers a new one, and nothing that would fail again', async ({ monolens, site }) => {
  await monolens.open(site.url, `${ON_CPU}&context=64`);
  const { page } = monolens;
  await page.getByRole('button', { name: QUESTION }).first().click();
  await expect(monolens.answers).toHaveCount(1);
  await monolens.whole();
  await expect(page.locator('#follow-ups').getByRole('button').first()).toBeVisible();
  await monolens.ask('and what is that '.repeat(20));
  const alert = page.getByRole('alert');
  await expect(alert).toHaveAttribute('data-code', 'context-full');
  // The bundled model makes one tile of every picture: fewer there are not.
  await expect(alert.locator('> p')).toHaveText('Begin a new conversation, or make the question shorter.');
  await expect(page.locator('#follow-ups').getByRole('button')).toHaveCount(0);
  const failed = monolens.answers.last();
  await expect(failed.getByRole('button', { name: 'Retry' })).toBeVisible();
  await expect(failed.getByRole('button', { name: /Copy|See inside/ })).toHaveCount(0);
  await alert.getByRole('button', { name: 'New conversation' }).click();
  await expect(monolens.answers).toHaveCount(0);
  await expect(monolens.question).toBeFocused();
});

test('a file that is no picture is called that', async ({ monolens, site }) => {
  const folder = await mkdtemp(join(tmpdir(), 'monolens-notes-'));
  await writeFile(join(folder, 'notes.txt'), 'Buy milk.');
  await monolens.open(site.url);
  await monolens.page.getByLabel('Picture files').setInputFiles(join(folder, 'notes.txt'));
  await expect(monolens.page.getByText(/^notes\.txt is not a picture\. Use PNG/)).toBeVisible();
  await expect(monolens.attached).toHaveCount(0);
  // Among others it does not keep the pictures out.
  await writeFile(join(folder, 'more.txt'), 'And eggs.');
  const files = [join(folder, 'notes.txt'), example('rocket.png'), join(folder, 'more.txt')];
  await monolens.page.getByLabel('Picture files').setInputFiles(files);
  await expect(monolens.page.getByText(/^notes\.txt, more\.txt are not pictures\./)).toBeVisible();
  await expect(monolens.attached).toHaveCount(1);
  await rm(folder, { recursive: true });
});

test('a server that does not answer is waited for in words, try by try', async ({ monolens, site }) => {
  const gone = await Site.start({ '/': tmpdir() });
  const { url } = gone;
  await gone.stop();
  await monolens.open(site.url);
  const { page } = monolens;
  await page.getByRole('button', { name: /^Model:/ }).click();
  await page.getByLabel(/^Address of the folder/).fill(url);
  await page.getByRole('button', { name: 'Load', exact: true }).click();
  await expect(page.getByText('The server does not answer: try 2 of 6')).toBeVisible();
  await expect(page.getByText('The server does not answer: try 3 of 6')).toBeVisible();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await expect(page.getByText('Loading was cancelled.')).toBeVisible();
});

test('a word promises nothing where nobody could see where it looked', async ({ monolens, site }) => {
  // Too narrow for See inside to be open from the beginning, and high enough to see the answer above it afterwards.
  await monolens.page.setViewportSize({ width: 900, height: 1800 });
  await monolens.open(site.url);
  await monolens.choose(example('rocket.png'));
  await monolens.ask(QUESTION);
  const word = monolens.answerText.locator('.word').last();
  const looks = async () => {
    await word.hover();
    return word.evaluate((element) => {
      const { cursor, backgroundColor } = getComputedStyle(element);
      return { cursor, marked: backgroundColor !== 'rgba(0, 0, 0, 0)' };
    });
  };
  expect(await looks()).toEqual({ cursor: 'auto', marked: false });
  await monolens.openInside();
  await expect.poll(looks).toEqual({ cursor: 'pointer', marked: true });
});
