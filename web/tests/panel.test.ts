// @vitest-environment jsdom
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ModelInfo, Retry, Segment } from '../src/lib';
import { MonolensError } from '../src/lib/errors';
import { explain } from '../src/page/base/explain';
import { isBundled, picturesAdvice } from '../src/page/bundled';
import { type AnswerTurn, Conversation } from '../src/page/chat/conversation';
import { Picture } from '../src/page/chat/picture';
import { tileGrid, tileText } from '../src/page/chat/picture-view';
import { AnswerView, type TurnActions } from '../src/page/chat/turn-view';
import { boxesView } from '../src/page/inspector/boxes';
import { figures } from '../src/page/inspector/figures';
import { stripView } from '../src/page/inspector/strip-view';
import { LoadStatus } from '../src/page/load-status';
import { FakeEngine } from './fake-engine';

const GPU_WORDS = /kernel|tier|workgroup|adapter|exited|launch/i;
const gpu = new FakeEngine().info();
const cpu: ModelInfo = {
  ...gpu,
  device: {
    kind: 'cpu',
    name: 'CPU (WebAssembly)',
    tier: 'simd128',
    detail: '1 thread',
    isGpu: false,
    reason: 'Asked.',
  },
};
const segments: Segment[] = [
  { kind: 'system', tokens: 10 },
  { kind: 'image', image: 0, tokens: 256 },
  { kind: 'user', tokens: 20 },
];

const newAnswer = () => Object.assign(new Conversation().beginAnswer(), { segments });
let answer: AnswerTurn;

beforeAll(() => {
  URL.createObjectURL = () => 'blob:x';
});

beforeEach(() => {
  answer = newAnswer();
});

describe('the figures', () => {
  const list = (info: ModelInfo) => {
    const element = figures({ info, stats: undefined, answer: undefined, selfTest: { text: 'not run yet' } });
    return Object.fromEntries(
      [...element.querySelectorAll('dt')].map((dt) => [dt.textContent, dt.nextElementSibling?.textContent]),
    );
  };

  it('of a GPU are its kernel launches, its name and its tier', () => {
    expect(list(gpu)).toMatchObject({ 'Kernel launches': 'prefill 60, decode 30', Tier: 'baseline' });
    expect(list(gpu)['Runs on']).toContain('Fake adapter');
  });

  it('of the CPU have no words of GPUs', () => {
    const shown = list(cpu);
    expect(shown).toMatchObject({ Operators: 'prefill 60, decode 30', Instructions: 'simd1281 thread' });
    expect(shown['Runs on']).toContain('CPU (WebAssembly)');
    expect(JSON.stringify(shown)).not.toMatch(GPU_WORDS);
  });
});

describe('the figures of an answer', () => {
  const stats = {
    promptTokens: 30,
    visualTokens: 16,
    reusedTokens: 0,
    prefilledTokens: 30,
    tilesEncoded: 1,
    generatedTokens: 9,
    timeToFirstToken: 1,
    decodeSeconds: 0.5,
  };
  const said = (tokens: number, generatedTokens: number) => {
    const given = Array.from({ length: tokens }, (_, id) => ({ id, text: 'a ' }));
    Object.assign(answer, { tokens: given, status: 'done', text: 'a', stats: { ...stats, generatedTokens } });
    const facts = figures({ info: gpu, stats: new FakeEngine().stats(), answer, selfTest: { text: 'no' } });
    const shown = (name: string) =>
      [...facts.querySelectorAll('dt')].find((dt) => dt.textContent === name)?.nextElementSibling?.textContent;
    const view = new AnswerView(answer, { boxesOn: () => undefined } as unknown as TurnActions).element;
    const strip = stripView(answer).querySelector('svg')?.getAttribute('aria-label');
    return { shown, under: view.querySelector('.answer-state')?.textContent, strip };
  };

  it('count the tokens that the token sequence has, and tell what ended it', () => {
    const ended = said(8, 9);
    expect(ended.shown('Answer')).toBe('8 tokens and the end');
    expect(ended.strip).toContain('answer 8.');
    expect(said(9, 9).shown('Answer')).toBe('9 tokens');
  });

  it('have a rate of the tokens after the first, where there are enough of them', () => {
    const enough = said(8, 9);
    expect(enough.shown('Tokens a second')).toBe('16.0');
    expect(enough.under).toBe('first token 1.00 s · 16.0 tokens/s');
    const few = said(7, 8);
    expect(few.shown('Tokens a second')).toBe('too few to tell');
    expect(few.under).toBe('first token 1.00 s');
  });

  it('say what the cache has room for and what it keeps', () => {
    const cache = said(1, 2).shown('Cache');
    expect(cache).toBe('room for 1,024 tokens64 kept, so that a follow-up does not compute them again');
  });
});

describe('the token sequence', () => {
  it('tells which workgroups exited where a GPU answered', () => {
    answer.device = 'wgpu';
    // What answered counts, not what is there now.
    expect(stripView(answer, 'cpu').textContent).toContain('3 of 10 workgroup rows exited early');
    // An answer that was saved before it was noted.
    expect(stripView(newAnswer(), 'wgpu').textContent).toContain('workgroup');
  });

  it('tells the rows of each kind of expert where the CPU answered', () => {
    answer.device = 'cpu';
    const strip = stripView(answer, 'wgpu');
    expect(strip.textContent).toContain('The text experts computed 30 rows, the visual experts 256');
    expect(strip.innerHTML.replaceAll(/class="[^"]*"/g, '')).not.toMatch(GPU_WORDS);
  });
});

describe('what a picture shows', () => {
  const info = { id: 1, width: 3, height: 2, columns: 3, rows: 2, thumbnail: true, visualTokens: 112 };

  it('is the grid of its tiles, in words too', () => {
    const grid = tileGrid(info);
    expect(grid.querySelectorAll('line')).toHaveLength(3);
    expect(grid.getAttribute('viewBox')).toBe('0 0 3 2');
    expect(tileText(info)).toBe('3 × 2 tiles + overview · 112 tokens');
  });

  it('is the boxes of a grounding answer with their phrases, text as text', () => {
    const picture = new Picture('1', new Blob(['x']), 'street.png');
    const view = boxesView(picture, [
      {
        phrase: 'bicycle',
        boxes: [
          [100, 150, 700, 900],
          [0, 0, 1000, 1000],
        ],
      },
      { phrase: '<b>dog</b>', boxes: [[1, 2, 3, 4]] },
    ]);
    const rects = [...view.querySelectorAll('rect')].map((rect) =>
      ['x', 'y', 'width', 'height'].map((name) => Number(rect.getAttribute(name))),
    );
    expect(rects).toEqual([
      [100, 150, 600, 750],
      [0, 0, 1000, 1000],
      [1, 2, 2, 2],
    ]);
    const labels = [...view.querySelectorAll<HTMLElement>('.box-label')];
    expect(labels.map((label) => label.textContent)).toEqual(['bicycle', 'bicycle', '<b>dog</b>']);
    expect([labels[0]?.style.left, labels[0]?.style.top]).toEqual(['10%', '15%']);
    expect(view.querySelector('ul')?.textContent).toContain('bicycle (100, 150, 700, 900) (0, 0, 1000, 1000)');
  });
});

describe('an answer that found no room', () => {
  const show = (code: 'out-of-memory' | 'context-full', tiles: number | undefined) => {
    const actions = { fewerTiles: () => tiles, retryWith: vi.fn(), newConversation: vi.fn(), boxesOn: () => undefined };
    const error = explain(new MonolensError(code, 'no room'), tiles ? undefined : 'asking without tiles to spare');
    answer = Object.assign(new Conversation().beginAnswer(), { status: 'failed', error });
    const view = new AnswerView(answer, actions as unknown as TurnActions).element;
    const buttons = [...view.querySelectorAll('button')].filter((b) => !b.closest('[hidden]'));
    const press = (name: string) =>
      buttons.find((b) => (b.getAttribute('aria-label') ?? b.textContent) === name)?.click();
    const names = buttons.map((b) => b.getAttribute('aria-label') ?? b.textContent);
    return { actions, press, names, advice: view.querySelector('.error-box > p')?.textContent };
  };

  it('says what would fit into memory, and offers it', () => {
    const { actions, advice, names, press } = show('out-of-memory', 3);
    expect(advice).toMatch(/fewer tiles.*4 bits/);
    // There is nothing to copy, and nothing that could be seen inside.
    expect(names).toEqual(['Retry with at most 3 tiles a picture', 'Retry']);
    press('Retry with at most 3 tiles a picture');
    expect(actions.retryWith).toHaveBeenCalledWith(answer, 3);
  });

  it('offers a new conversation where this one is full', () => {
    const { actions, advice, names, press } = show('context-full', 6);
    expect(advice).toMatch(/new conversation.*fewer tiles/);
    expect(names).toEqual(['Retry with at most 6 tiles a picture', 'New conversation', 'Retry']);
    press('New conversation');
    expect(actions.newConversation).toHaveBeenCalled();
  });

  it('does not speak of tiles where there are no fewer', () => {
    for (const code of ['out-of-memory', 'context-full'] as const) {
      const { advice, names } = show(code, undefined);
      expect(advice).not.toMatch(/tile/);
      expect(names.join()).not.toMatch(/tile/);
    }
  });

  it('does not speak of pictures where a model was loaded', () => {
    const { advice } = explain(new MonolensError('out-of-memory', 'no room'), 'loading');
    expect(advice).toMatch(/4 bits/);
    expect(advice).not.toMatch(/tile|picture|conversation/);
  });
});

describe('several pictures', () => {
  it('are advised against with the bundled model only', () => {
    for (const source of ['models/mono-tiny/', 'models/mono-tiny', new URL('models/mono-tiny/', document.baseURI)]) {
      expect(isBundled(source)).toBe(true);
      expect(picturesAdvice(source, 1)).toBeUndefined();
      expect(picturesAdvice(source, 2)).toContain('one picture at a time');
    }
    for (const source of ['https://example.org/models/mono-tiny/', 'models/other/', [], undefined]) {
      expect(picturesAdvice(source, 5)).toBeUndefined();
    }
  });
});

describe('loading', () => {
  it('tells bytes, rate and what is being done', () => {
    document.body.innerHTML = '<div id="load-status"></div>';
    vi.useFakeTimers({ toFake: ['performance'] });
    const status = new LoadStatus();
    status.begin('x', () => undefined);
    const at = (downloaded: number) => {
      const source = { name: 'x', downloaded, cached: 2e6, repaired: 0, caching: 'on' as const };
      status.progress({ stage: 'weights', done: 1e6, total: 20e6, name: 'layer.0', source });
    };
    at(1e6);
    vi.advanceTimersByTime(1000);
    at(9e6);
    vi.useRealTimers();
    const text = document.querySelector('.load-card .hint')?.textContent;
    expect(text).toBe(
      'Loading weights (layer.0) · 1.0 MB of 20 MB, 9.0 MB downloaded, 2.0 MB from this browser · 8.0 MB/s',
    );
    const bar = document.querySelector('progress');
    expect([bar?.value, bar?.max]).toEqual([11e6, 20e6]);
  });

  it('tells that a server is waited for, and each further try', () => {
    document.body.innerHTML = '<div id="load-status"></div>';
    const status = new LoadStatus();
    status.begin('x', () => undefined);
    const detail = (retry?: Retry, downloaded = 0) => {
      const source = { name: 'manifest.json', downloaded, cached: 0, repaired: 0, caching: 'on' as const, retry };
      status.progress({ stage: 'files', done: 0, total: 0, name: '', source });
      return document.querySelector('.load-card .hint')?.textContent;
    };
    expect(detail()).toBe('Connecting to the server');
    expect(detail({ attempt: 2, of: 6, code: 'network' })).toBe('The server does not answer: try 2 of 6');
    expect(detail({ attempt: 3, of: 6, code: 'http' })).toBe('The server is busy: try 3 of 6');
    expect(detail(undefined, 5000)).toMatch(/^Reading manifest\.json/);
  });
});
