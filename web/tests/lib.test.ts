import { describe, expect, it } from 'vitest';
import type { ChatEvent, Finished } from '../src/engine/messages';
import { Answer } from '../src/lib/answer';
import { MonolensError } from '../src/lib/errors';
import { checkLoadOptions, checkSettings } from '../src/lib/known';
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
  const refused = (check: (given: object) => void, given: object) => {
    try {
      check(given);
    } catch (error) {
      if (error instanceof MonolensError && error.code === 'bad-request') return error.message;
      throw error;
    }
    return 'taken';
  };

  it.each([
    [checkSettings, { temprature: 0 }, 'there is no setting "temprature"; did you mean "temperature"?'],
    [checkSettings, { top_p: 0.5 }, 'there is no setting "top_p"; did you mean "topP"?'],
    [checkSettings, { seed: 1, max_tokens: 5 }, 'there is no setting "max_tokens"; did you mean "maxNewTokens"?'],
    [checkLoadOptions, { Backend: 'cpu' }, 'there is no option "Backend"; did you mean "backend"?'],
  ])('are told with the one that is nearest', (check, given, message) => {
    expect(refused(check, given)).toBe(message);
  });

  it('are told with all that there are where none is near', () => {
    expect(refused(checkSettings, { n: 2 })).toMatch(/no setting "n"; there are temperature, topK, topP, .*keepTags$/);
  });

  it('are told with what is expected where the value is wrong', () => {
    expect(refused(checkLoadOptions, { context: -4 })).toBe('context: expected a whole number over 0, got -4');
    expect(refused(checkLoadOptions, { context: '64' })).toBe('context: expected a whole number over 0, got "64"');
    expect(refused(checkLoadOptions, { weights: '3bit' })).toMatch(/^weights: expected 8bit or 4bit.*, got "3bit"$/);
    expect(refused(checkLoadOptions, { weights: '4bit-g33' })).toMatch(/^weights/);
    expect(refused(checkLoadOptions, { kv: '4bit' })).toBe('kv: expected 8bit, bf16 or f32, got "4bit"');
    expect(refused(checkLoadOptions, { backend: 'cuda' })).toBe('backend: expected auto, wgpu or cpu, got "cuda"');
    expect(refused(checkLoadOptions, { tier: 'best' })).toMatch(/^tier: expected baseline, half/);
  });

  it('are not those of the documentation', () => {
    expect(refused(checkSettings, { topP: 7, stop: [], keepTags: undefined })).toBe('taken');
    const options = { cache: false, kv: '8bit', weights: '4bit-g32', context: 64, tier: undefined, signal: undefined };
    expect(refused(checkLoadOptions, options)).toBe('taken');
  });
});
