/** A picture is dropped, a question asked, and the answer is the one that the native command gives. */
import { expect, test } from './lib/browser.ts';
import { example, ON_CPU, ON_GPU, TALKATIVE } from './lib/monolens-page.ts';
import { ask } from './lib/native.ts';

const QUESTION = 'What is this?';

for (const [device, query] of Object.entries({ WebGPU: ON_GPU, 'the CPU in wasm': ON_CPU })) {
  test(`a dropped picture is answered on ${device} as the native command answers`, async ({ monolens, site }) => {
    await monolens.open(site.url, query);
    await monolens.drop(example('rocket.png'));
    expect(await monolens.ask(QUESTION)).toBe(ask(QUESTION, ['examples/rocket.png']).answer);
  });
}

test('several pictures in one question are answered as the native command answers', async ({ monolens, site }) => {
  await monolens.open(site.url);
  await monolens.choose(example('guitar.png'), example('strawberry.png'));
  const native = ask(QUESTION, ['examples/guitar.png', 'examples/strawberry.png']);
  expect(await monolens.ask(QUESTION)).toBe(native.answer);
  await monolens.openInside();
  expect(await monolens.figure('Prompt')).toContain(`${native.stats.prompt_tokens} tokens`);
});

test('the bundled model says that it knows one picture at a time, another model does not', async ({ monolens, site }) => {
  await monolens.open(site.url);
  const advice = monolens.page.getByText(/was trained on one picture at a time/);
  await monolens.choose(example('guitar.png'));
  await expect(advice).toHaveCount(0);
  await monolens.ask(QUESTION);
  await expect(advice).toHaveCount(0);
  // The second one of the conversation, then the first one of a new one.
  await monolens.choose(example('rocket.png'));
  await expect(advice).toBeVisible();
  await monolens.page.getByRole('button', { name: 'Remove rocket.png' }).click();
  await expect(advice).toHaveCount(0);
  await monolens.choose(example('rocket.png'));
  await monolens.page.getByRole('button', { name: 'New conversation' }).click();
  await expect(advice).toHaveCount(0);
  await monolens.open(site.url, ON_CPU + TALKATIVE);
  await monolens.choose(example('guitar.png'), example('rocket.png'));
  await expect(advice).toHaveCount(0);
});

test('a picture shows its tiles as the model cuts them', async ({ monolens, site }) => {
  await monolens.open(site.url, ON_CPU + TALKATIVE);
  await monolens.choose(example('example.png'));
  const figure = monolens.attached.first();
  await expect(figure).toContainText(/\d × \d tiles/);
  const [columns, rows] = /(\d) × (\d) tiles/.exec(await figure.innerText())?.slice(1).map(Number) ?? [];
  await expect(figure.locator('.tile-grid line')).toHaveCount((columns ?? 0) + (rows ?? 0) - 2);
});

test('a system prompt is part of the prompt, as in the native command', async ({ monolens, site }) => {
  await monolens.open(site.url, ON_CPU + TALKATIVE);
  await monolens.page.getByRole('button', { name: 'Settings' }).click();
  const system = 'Be brief and speak of nothing but the sea.';
  await monolens.page.getByLabel('System prompt').fill(system);
  await monolens.page.keyboard.press('Escape');
  await monolens.openInside();
  await monolens.ask(QUESTION);
  // Not its answer: that of a random model is long, and the last bit of a sum sends it another way.
  const native = ask(QUESTION, [], 'tests/golden/mono-v1/bf16', '--system', system);
  expect(await monolens.figure('Prompt')).toContain(`${native.stats.prompt_tokens} tokens`);
});

test('a follow-up question about the same picture does no image work', async ({ monolens, site }) => {
  await monolens.open(site.url, ON_CPU + TALKATIVE);
  await monolens.choose(example('example.png'));
  await monolens.ask(QUESTION);
  await monolens.openInside();
  expect(Number(await monolens.figure('Tiles encoded'))).toBeGreaterThan(1);
  await monolens.ask('And what else?');
  expect(await monolens.figure('Tiles encoded')).toBe('0');
  // All visual tokens, at least, were there from the first question.
  const visual = Number(/(\d+) visual/.exec(await monolens.figure('Prompt'))?.[1]);
  const reused = Number(/^[\d,]+/.exec(await monolens.figure('Reused'))?.[0].replace(',', ''));
  expect(visual).toBeGreaterThan(100);
  expect(reused).toBeGreaterThan(visual);
});

test('nor does the first follow-up of a short conversation', async ({ monolens, site }) => {
  await monolens.open(site.url);
  await monolens.openInside();
  await monolens.choose(example('rocket.png'));
  await monolens.ask(QUESTION);
  await expect(monolens.page.getByText(/the visual experts 16;/)).toBeVisible();
  await monolens.ask('Is it a bird?');
  await expect(monolens.page.getByText(/^The text experts computed \d+ rows, the visual experts 0;/)).toBeVisible();
});

test('an example picture is one click away', async ({ monolens, site }) => {
  await monolens.open(site.url);
  await monolens.page.getByRole('button', { name: QUESTION }).first().click();
  await expect(monolens.answers).toHaveCount(1);
  expect(await monolens.whole()).toBe(ask(QUESTION, ['examples/example.png']).answer);
});

test('a picture can be pasted', async ({ monolens, site }) => {
  await monolens.open(site.url);
  await monolens.page.evaluate(async (url) => {
    const picture = await (await fetch(url)).blob();
    const data = new DataTransfer();
    data.items.add(new File([picture], 'pasted.png', { type: 'image/png' }));
    document.activeElement?.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));
  }, `${site.url}examples/guitar.png`);
  await expect(monolens.attached).toHaveCount(1);
  expect(await monolens.ask(QUESTION)).toBe(ask(QUESTION, ['examples/guitar.png']).answer);
});

test('a picture can be taken with the camera', async ({ monolens, site }) => {
  await monolens.open(site.url);
  await monolens.page.getByRole('button', { name: 'Take a picture' }).click();
  const dialog = monolens.page.getByRole('dialog', { name: 'Camera' });
  await dialog.getByRole('button', { name: 'Take the picture' }).click();
  await expect(dialog).toBeHidden();
  await expect(monolens.attached).toHaveCount(1);
  expect(await monolens.ask(QUESTION)).not.toBe('');
  // It is off again: nothing is recorded that nobody asked for.
  expect(await monolens.page.evaluate(() => document.querySelector('video')?.srcObject ?? null)).toBeNull();
});

test('an answer streams, can be stopped, and the conversation goes on', async ({ monolens, site }) => {
  await monolens.open(site.url, ON_GPU + TALKATIVE);
  await monolens.choose(example('example.png'));
  const whole = ask(QUESTION, ['examples/example.png'], 'tests/golden/mono-v1/bf16');
  await monolens.send(QUESTION);
  await expect(monolens.answerText).not.toBeEmpty();
  await expect(monolens.answers.last()).toHaveAttribute('aria-busy', 'true');
  await monolens.page.keyboard.press('Escape');
  await monolens.whole();
  await expect(monolens.answers.last()).toContainText('stopped');
  await monolens.openInside();
  const tokens = Number(/\d+/.exec(await monolens.figure('Answer'))?.[0]);
  expect(tokens).toBeLessThan(whole.stats.generated_tokens);
  await monolens.ask('Go on.');
});

test('a question can be asked again, edited and copied', async ({ monolens, site }) => {
  await monolens.open(site.url);
  await monolens.choose(example('rocket.png'));
  const first = await monolens.ask(QUESTION);
  await monolens.page.getByRole('button', { name: 'Retry' }).click();
  await expect(monolens.answers).toHaveCount(1);
  expect(await monolens.whole()).toBe(first);

  await monolens.page.getByRole('button', { name: 'Edit question' }).click();
  const question = 'What colour is the background?';
  await monolens.page.getByRole('textbox', { name: 'Edit question' }).fill(question);
  await monolens.page.getByRole('button', { name: 'Ask again' }).click();
  await expect(monolens.page.getByRole('article', { name: 'Your question' })).toContainText(question);
  const edited = await monolens.whole();
  expect(edited).toBe(ask(question, ['examples/rocket.png']).answer);

  await monolens.page.getByRole('button', { name: 'Copy answer' }).click();
  await expect.poll(() => monolens.page.evaluate(() => navigator.clipboard.readText())).toBe(edited);
});

test('a sampled answer is the same again with the same seed, as the settings promise', async ({ monolens, site }) => {
  await monolens.open(site.url, ON_CPU + TALKATIVE);
  await monolens.page.getByRole('button', { name: 'Settings' }).click();
  const dialog = monolens.page.getByRole('dialog', { name: 'Settings' });
  await dialog.getByLabel('Temperature').fill('1.5');
  await dialog.getByLabel('Seed').fill('7');
  await dialog.getByLabel('Longest answer').fill('12');
  await monolens.page.keyboard.press('Escape');
  const first = await monolens.ask('Say something.');
  await monolens.page.getByRole('button', { name: 'Retry' }).click();
  await expect(monolens.answers.last()).toContainText('ended at the most tokens allowed');
  expect(await monolens.whole()).toBe(first);
});
