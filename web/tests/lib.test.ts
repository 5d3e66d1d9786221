import { describe, expect, it } from 'vitest';
import type { ChatEvent, Finished } from '../src/engine/messages';
import { Answer } from '../src/lib/answer';
import { MonolensError } from '../src/lib/errors';
import { checkOptions } from '../src/lib/known';
import { fromDataUrl, type Message, toWire } from '../src/lib/openai';

const PIXEL = 'data:image/png;base64,iVBORw0KGgo=';
const image = { type: 'image_url', image_url: { url: PIXEL } } as const;
const text = (value: string) => ({ type: 'text', text: value }) as const;
const wire = async (...content: Exclude<Message['content'], string>) => (await toWire([{ role: 'user', content }]))[0];

describe('messages in the OpenAI format', () => {
  it('may be plain text', async () => {
    const messages: Message[] = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'Hi', ids: [5] },
    ];
    expect(await toWire(messages)).toEqual([
      { role: 'system', text: 'Be brief.', images: [] },
      { role: 'user', text: 'Hello', images: [] },
      { role: 'assistant', text: 'Hi', images: [], ids: [5] },
    ]);
  });

  it('need no marks where pictures come first', async () => {
    expect(await wire(image, image, text('What differs?'))).toMatchObject({ text: 'What differs?' });
  });

  it('get marks where pictures stand between text', async () => {
    expect((await wire(text('First'), image, text('second'), image))?.text).toBe('First\n<image>\nsecond\n<image>');
  });

  it('keep marks that the text has', async () => {
    expect((await wire(text('A: <image> B: <image>'), image, image))?.text).toBe('A: <image> B: <image>');
  });

  it('carry data: URLs, blobs and the detail', async () => {
    const blob = new Blob(['x']);
    const message = await wire(
      { type: 'image_url', image_url: PIXEL },
      { type: 'image', image: blob, maxTiles: 4 },
      { type: 'image_url', image_url: { url: PIXEL, detail: 'low' } },
    );
    expect(message?.images.map(({ maxTiles }) => maxTiles)).toEqual([undefined, 4, 1]);
    expect(message?.images[1]?.image).toBe(blob);
    expect(message?.images[0]?.image.type).toBe('image/png');
    expect(message?.images[0]?.image.size).toBe(8);
  });

  it('are refused where they make no sense', async () => {
    const bad = (message: unknown) => toWire([message as Message]);
    await expect(toWire([])).rejects.toMatchObject({ code: 'bad-request' });
    await expect(toWire('hello' as never)).rejects.toMatchObject({ code: 'bad-request' });
    await expect(bad({ role: 'user' })).rejects.toMatchObject({ code: 'bad-request' });
    await expect(bad({ role: 'robot', content: 'x' })).rejects.toMatchObject({ code: 'bad-request' });
    await expect(bad({ role: 'user', content: [{ type: 'audio' }] })).rejects.toMatchObject({ code: 'bad-request' });
    expect(() => fromDataUrl('data:image/png;base64,***')).toThrow(MonolensError);
    expect(() => fromDataUrl('data:')).toThrow(MonolensError);
  });
});

describe('a message that is none', () => {
  const blob = new Blob(['x']);
  it.each<[given: unknown, told: string]>([
    [null, ': expected an object, got null'],
    [{ role: 'robot', content: 'x' }, '.role: expected system, user or assistant, got "robot"'],
    [{ role: 'user' }, '.content: expected a text or a list of parts, got undefined'],
    [{ role: 'assistant', content: 'x', ids: [3, 1.5] }, '.ids[1]: expected a whole number of 0 or more, got 1.5'],
    [{ role: 'assistant', content: 'x', ids: 'abc' }, '.ids: expected a list, got "abc"'],
    [null, '.content[0]: expected an object, got null'],
    [{ type: 'audio' }, '.content[0].type: expected text, image_url or image, got "audio"'],
    [{ type: 'text' }, '.content[0].text: expected a text, got undefined'],
    [{ type: 'image_url' }, '.content[0].image_url.url: expected a URL, got undefined'],
    [{ type: 'image_url', image_url: {} }, '.content[0].image_url.url: expected a URL, got undefined'],
    [{ type: 'image_url', image_url: null }, '.content[0].image_url.url: expected a URL, got null'],
    [
      { type: 'image_url', image_url: { url: PIXEL, detail: 'ultra' } },
      '.content[0].image_url.detail: expected auto, low or high, got "ultra"',
    ],
    [{ type: 'image', image: 'a.png' }, '.content[0].image: expected a Blob or an ImageBitmap, got "a.png"'],
    ...[-1, 0, 1.5, 'x'].map((maxTiles): [unknown, string] => [
      { type: 'image', image: blob, maxTiles },
      `.content[0].maxTiles: expected a whole number over 0, got ${JSON.stringify(maxTiles)}`,
    ]),
  ])('%j', async (given, told) => {
    const part = told.startsWith('.content[0]');
    const message = part ? { role: 'user', content: [given] } : given;
    const refused = expect(toWire([message as Message])).rejects;
    await refused.toMatchObject({ code: 'bad-request', message: `messages[0]${told}` });
  });

  it('is one of a list', async () => {
    const refused = (messages: unknown) => expect(toWire(messages as Message[])).rejects;
    await refused('hello').toMatchObject({ code: 'bad-request', message: 'messages: expected a list, got "hello"' });
    await refused(new Array(1)).toMatchObject({ message: 'messages[0]: expected an object, got undefined' });
  });
});

describe('an answer', () => {
  const stats = {} as Finished['stats'];

  /** Gives `pieces` one a task, then ends; a stop ends it early. */
  const answering = (pieces: string[], { end, heldBack = '' }: { end?: Error; heldBack?: string } = {}) =>
    new Answer(async (stop, onEvent: (event: ChatEvent) => void) => {
      onEvent({ type: 'submitted', segments: [{ kind: 'user', tokens: 3 }] });
      onEvent({ type: 'started', promptTokens: 3, visualTokens: 0, reusedTokens: 2, tilesToEncode: 0 });
      for (const [id, piece] of pieces.entries()) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (stop.aborted) return { type: 'finished', reason: 'stopped', text: '', stats, grounding: [] };
        onEvent({ type: 'token', id, text: piece });
      }
      if (end) throw end;
      return { type: 'finished', reason: 'stop', text: heldBack, stats, grounding: [] };
    });

  it('gives its pieces and then all about it', async () => {
    const answer = answering(['a ', '', 'dog']);
    const pieces: string[] = [];
    for await (const piece of answer) pieces.push(piece);
    expect(pieces).toEqual(['a ', 'dog']);
    const { text, reason, tokens, reusedTokens, segments } = await answer.finished;
    expect({ text, reason, reusedTokens }).toEqual({ text: 'a dog', reason: 'stop', reusedTokens: 2 });
    expect(tokens.map(({ id }) => id)).toEqual([0, 1, 2]);
    expect(segments).toHaveLength(1);
  });

  it('gives what was held back, and keeps a whole answer without spaces around it', async () => {
    const answer = answering([' a'], { heldBack: ' dog ' });
    const pieces: string[] = [];
    for await (const piece of answer) pieces.push(piece);
    expect(pieces).toEqual([' a', ' dog ']);
    expect((await answer.finished).text).toBe('a dog');
  });

  it('can be read after its end', async () => {
    const answer = answering(['a', 'b']);
    await answer.finished;
    const pieces: string[] = [];
    for await (const piece of answer) pieces.push(piece);
    expect(pieces.join('')).toBe('ab');
  });

  it('can be read once', async () => {
    const answer = answering(['a', 'b']);
    const read = async () => {
      let text = '';
      for await (const piece of answer) text += piece;
      return text;
    };
    const first = read();
    const told = { code: 'bad-request', message: 'an answer can be read once; its text is in `finished`' };
    await expect(read()).rejects.toMatchObject(told);
    // The second reader does not end it for the first.
    expect(await first).toBe('ab');
    await expect(read()).rejects.toMatchObject(told);
  });

  it('stops when its reader leaves', async () => {
    const answer = answering(['a', 'b', 'c', 'd']);
    for await (const piece of answer) if (piece === 'b') break;
    expect(await answer.finished).toMatchObject({ reason: 'stopped', text: 'ab' });
  });

  it('fails with an error of the library, whatever was thrown', async () => {
    const answer = answering([], { end: new TypeError('odd') });
    await expect(answer.finished).rejects.toBeInstanceOf(MonolensError);
    await expect(answer.finished).rejects.toMatchObject({ code: 'internal', message: 'odd' });
  });

  it('fails where it fails', async () => {
    const answer = answering(['a'], { end: new MonolensError('out-of-memory', 'no') });
    const read = async () => {
      for await (const piece of answer) expect(piece).toBe('a');
    };
    await expect(read()).rejects.toMatchObject({ code: 'out-of-memory' });
  });
});

describe('names that nobody knows', () => {
  const refused = (call: Parameters<typeof checkOptions>[0], given: object) => {
    try {
      checkOptions(call, given);
    } catch (error) {
      if (error instanceof MonolensError && error.code === 'bad-request') return error.message;
      throw error;
    }
    return 'taken';
  };

  it.each<[call: Parameters<typeof checkOptions>[0], given: object, message: string]>([
    ['chat', { temprature: 0 }, 'there is no setting "temprature"; did you mean "temperature"?'],
    ['chat', { top_p: 0.5 }, 'there is no setting "top_p"; did you mean "topP"?'],
    ['chat', { seed: 1, max_tokens: 5 }, 'there is no setting "max_tokens"; did you mean "maxNewTokens"?'],
    ['load', { Backend: 'cpu' }, 'there is no option "Backend"; did you mean "backend"?'],
  ])('are told with the one that is nearest', (call, given, message) => {
    expect(refused(call, given)).toBe(message);
  });

  it('are told with all that there are where none is near', () => {
    expect(refused('chat', { n: 2 })).toMatch(
      /no setting "n"; there are temperature, topK, topP, .*keepTags, signal, onEvent$/,
    );
  });

  it('are told with what is expected where the value is wrong', () => {
    expect(refused('load', { context: -4 })).toBe('context: expected a whole number over 0, got -4');
    expect(refused('load', { context: '64' })).toBe('context: expected a whole number over 0, got "64"');
    expect(refused('load', { weights: '3bit' })).toMatch(/^weights: expected 8bit or 4bit.*, got "3bit"$/);
    expect(refused('load', { weights: '4bit-g33' })).toMatch(/^weights/);
    expect(refused('load', { kv: '4bit' })).toBe('kv: expected 8bit, bf16 or f32, got "4bit"');
    expect(refused('load', { backend: 'cuda' })).toBe('backend: expected auto, wgpu or cpu, got "cuda"');
    expect(refused('load', { tier: 'best' })).toMatch(/^tier: expected baseline, half/);
  });

  it.each([
    ['load', 'context', 2 ** 32, 'at most 4294967295, got 4294967296'],
    ['load', 'cache', 'yes', 'true or false, got "yes"'],
    ['load', 'allowSoftware', 'yes', 'true or false, got "yes"'],
    ['load', 'onProgress', 5, 'a function, got 5'],
    ['load', 'signal', 5, 'an AbortSignal, got 5'],
    ['load', 'signal', { aborted: false }, 'an AbortSignal, got an object'],
    ['chat', 'signal', null, 'an AbortSignal, got null'],
    ['chat', 'onEvent', 5, 'a function, got 5'],
    ['chat', 'temperature', 'hot', 'a number of 0 or more, got "hot"'],
    ['chat', 'temperature', 1e300, 'a number of 0 or more, got 1e+300'],
    ['chat', 'topK', -1, 'a whole number of 0 or more, got -1'],
    ['chat', 'topP', 7, 'a number over 0 and up to 1, got 7'],
    ['chat', 'repetitionPenalty', 0, 'a number over 0, got 0'],
    ['chat', 'seed', -1, 'a whole number of 0 or more, got -1'],
    ['chat', 'seed', 1.5, 'a whole number of 0 or more, got 1.5'],
    ['chat', 'seed', Number.NaN, 'a whole number of 0 or more, got NaN'],
    ['chat', 'seed', 2 ** 53, 'at most 9007199254740991, got 9007199254740992'],
    ['chat', 'maxNewTokens', 0, 'a whole number over 0, got 0'],
    ['chat', 'stop', 'end', 'a list, got "end"'],
    ['chat', 'keepTags', 1, 'true or false, got 1'],
    ['prepare', 'maxTiles', -2, 'a whole number over 0, got -2'],
    ['prepare', 'maxTiles', 1e9, 'at most 65535, got 1000000000'],
    ['attention', 'from', -1, 'a whole number of 0 or more, got -1'],
    ['attention', 'from', 0.5, 'a whole number of 0 or more, got 0.5'],
  ] as const)('of %s: %s is not %j', (call, name, value, told) => {
    expect(refused(call, { [name]: value })).toBe(`${name}: expected ${told}`);
  });

  it('are told which thing of a list is wrong', () => {
    expect(refused('chat', { stop: ['a', ''] })).toBe('stop[1]: expected a text of at least one character, got ""');
  });

  it.each([null, 5, 'x', []])('are not in what is no object: %j', (given) => {
    expect(refused('load', given as never)).toMatch(/^options: expected an object, got /);
  });

  it('are not those of the documentation', () => {
    expect(refused('chat', { topP: 0.7, stop: [], keepTags: undefined })).toBe('taken');
    const options = { cache: false, kv: '8bit', weights: '4bit-g32', context: 64, tier: undefined, signal: undefined };
    expect(refused('load', options)).toBe('taken');
  });
});
