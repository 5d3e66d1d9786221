import { describe, expect, it } from 'vitest';
import type { Segment } from '../src/lib';
import { Latest } from '../src/page/base/latest';
import { blocksOf, earlyExits } from '../src/page/inspector/blocks';
import { colour, heatOf, shareOf } from '../src/page/inspector/heat';
import { spaceBefore, tokensOf, wordsOf } from '../src/page/inspector/words';

const segments: Segment[] = [
  { kind: 'system', tokens: 10 },
  { kind: 'image', image: 0, tokens: 256 },
  { kind: 'user', tokens: 20 },
];

describe('blocks of the MMoE kernel', () => {
  it('hold the rows of each modality', () => {
    const blocks = blocksOf(segments, 0);
    expect(blocks.map(({ text, visual }) => [text, visual])).toEqual([
      [10, 54],
      [0, 64],
      [0, 64],
      [0, 64],
      [20, 10],
    ]);
    expect(blocks.at(-1)).toMatchObject({ from: 256, to: 286 });
    expect(earlyExits(blocks)).toEqual({ exited: 3, all: 10 });
  });

  it('begin after the tokens that were reused', () => {
    expect(blocksOf(segments, 266)).toEqual([{ from: 266, to: 286, text: 20, visual: 0 }]);
    expect(earlyExits(blocksOf(segments, 266))).toEqual({ exited: 1, all: 2 });
    expect(blocksOf(segments, 286)).toEqual([]);
    expect(blocksOf([], 0)).toEqual([]);
  });

  it('are counted over all pictures', () => {
    const two: Segment[] = [
      { kind: 'image', image: 0, tokens: 32 },
      { kind: 'user', tokens: 16 },
      { kind: 'image', image: 1, tokens: 32 },
    ];
    expect(blocksOf(two, 0).map(({ text, visual }) => [text, visual])).toEqual([
      [16, 48],
      [0, 16],
    ]);
  });
});

describe('words and their tokens', () => {
  const tokens = ['A', ' straw', 'berry', ' on', ' ', '', '', '雪', '.'].map((text) => ({ text }));
  const answer = tokens.map(({ text }) => text).join('');

  it('are found by the characters', () => {
    const words = wordsOf(answer);
    expect(words.map(({ text }) => text)).toEqual(['A', 'strawberry', 'on', '雪.']);
    expect(words.map(({ start, end }) => tokensOf(tokens, start, end))).toEqual([
      { from: 0, to: 1 },
      { from: 1, to: 3 },
      { from: 3, to: 4 },
      // The tokens without text of their own are the first bytes of the character.
      { from: 5, to: 9 },
    ]);
    expect(tokensOf(tokens, 0, answer.length)).toEqual({ from: 0, to: 9 });
    expect(tokensOf([], 0, 1)).toBeUndefined();
  });

  it('are shown without their Markdown', () => {
    const words = wordsOf('# A **red dog**, `x`\n\n- one\n|---|\n> two');
    expect(words.map(({ text }) => text)).toEqual(['A', 'red', 'dog', 'x', 'one', 'two']);
    expect(words[1]).toEqual({ text: 'red', start: 6, end: 9 });
  });

  it('include text that was held back to the end', () => {
    const held = [{ text: 'a' }, { text: ' do' }, { text: '' }];
    expect(tokensOf(held, 2, 5)).toEqual({ from: 1, to: 3 });
    expect(tokensOf(held, 4, 5)).toEqual({ from: 2, to: 3 });
    expect(tokensOf([{ text: 'a' }], 1, 3)).toEqual({ from: 0, to: 1 });
  });

  it('are found where the answer lost the space in front', () => {
    expect(spaceBefore([{ text: '' }, { text: ' a' }, { text: ' dog' }], 'a dog')).toBe(1);
    expect(spaceBefore([{ text: ' a' }], ' a')).toBe(0);
  });
});

describe('a heat map', () => {
  const image = { image: 0, columns: 2, rows: 1, values: new Float32Array([0.1, 0.3, 0.2, 0]) };

  it('is one layer or the mean of all, scaled to one', () => {
    expect([...heatOf(image, 2, 1)]).toEqual([1, 0]);
    expect(heatOf(image, 2, 0)[0]).toBeCloseTo(1 / 3);
    expect(heatOf(image, 2, undefined)[1]).toBeCloseTo(1);
    expect([...heatOf({ ...image, values: new Float32Array(4) }, 2, undefined)]).toEqual([0, 0]);
  });

  it('says how much of the attention went to the picture', () => {
    expect(shareOf(image, 2, 0)).toBeCloseTo(0.4);
    expect(shareOf(image, 2, undefined)).toBeCloseTo(0.3);
  });

  it('grows brighter and denser', () => {
    const light = (value: number) => colour(value).reduce((a, b) => a + b);
    for (let i = 1; i <= 20; i++) expect(light(i / 20)).toBeGreaterThan(light((i - 1) / 20));
    expect(colour(7)).toEqual(colour(1));
  });
});

describe('the latest wish', () => {
  it('is the one that is run next', async () => {
    const latest = new Latest();
    const ran: number[] = [];
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    latest.run(async () => {
      ran.push(1);
      await gate;
    });
    for (const i of [2, 3, 4]) {
      latest.run(async () => {
        ran.push(i);
      });
    }
    open();
    await new Promise((resolve) => setTimeout(resolve, 5));
    latest.run(() => Promise.reject(new Error('told elsewhere')));
    await new Promise((resolve) => setTimeout(resolve, 5));
    latest.run(async () => {
      ran.push(5);
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(ran).toEqual([1, 4, 5]);
  });
});
