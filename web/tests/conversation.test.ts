import { IDBFactory } from 'fake-indexeddb';
import { beforeEach, describe, expect, it } from 'vitest';
import { Conversation, picturesOf, toMessages } from '../src/page/chat/conversation';
import { Picture } from '../src/page/chat/picture';
import { Saved } from '../src/page/chat/saved';

let conversation: Conversation;
let dog: Picture;
let cat: Picture;

beforeEach(async () => {
  conversation = new Conversation();
  dog = await Picture.of(new Blob(['dog']), 'dog.png');
  cat = await Picture.of(new Blob(['cat']), 'cat.png');
});

function exchange(text: string, pictures: Picture[], answer: string) {
  const question = conversation.ask(text, pictures);
  const turn = conversation.beginAnswer();
  Object.assign(turn, { text: answer, status: answer === '' ? 'failed' : 'done' });
  return { question, turn };
}

describe('a conversation', () => {
  it('becomes messages with pictures in front of their question', () => {
    exchange('What is it?', [dog], 'a dog');
    conversation.ask('And this?', [cat]);
    expect(toMessages(conversation.turns, 'Be brief.', 6)).toEqual([
      { role: 'system', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'image', image: dog.blob, maxTiles: 6 },
          { type: 'text', text: 'What is it?' },
        ],
      },
      { role: 'assistant', content: 'a dog' },
      {
        role: 'user',
        content: [
          { type: 'image', image: cat.blob, maxTiles: 6 },
          { type: 'text', text: 'And this?' },
        ],
      },
    ]);
  });

  it('leaves out what got no answer, with its pictures', () => {
    exchange('Too much?', [dog], '');
    conversation.ask('And this?', [cat]);
    expect(toMessages(conversation.turns, ' ', undefined)).toHaveLength(1);
    expect(picturesOf(conversation.turns)).toEqual([cat]);
  });

  it('can go back to a question', () => {
    const first = exchange('One?', [dog], '1');
    const second = exchange('Two?', [], '2');
    expect(picturesOf(conversation.before(second.turn))).toEqual([dog]);
    conversation.cutAt(second.turn);
    expect(conversation.turns.map(({ text }) => text)).toEqual(['One?', '1', 'Two?']);
    conversation.cutAt(first.question);
    expect(conversation.turns).toEqual([]);
  });
});

describe('what is saved', () => {
  it('comes back, pictures and all', async () => {
    const factory = new IDBFactory();
    exchange('What is it?', [dog, cat], 'a dog');
    conversation.ask('Still running?', []);
    const running = conversation.beginAnswer();
    running.text = 'so far';
    const settings = { system: 'Be brief.', temperature: 0.5 };
    await new Saved(factory).save({
      turns: conversation.turns,
      settings,
      model: 'models/x/',
      weights: '4bit',
      kv: '8bit',
    });
    const state = await new Saved(factory).load();
    expect(state.settings).toEqual(settings);
    expect(state.model).toBe('models/x/');
    expect([state.weights, state.kv]).toEqual(['4bit', '8bit']);
    expect(state.turns.map(({ text }) => text)).toEqual(['What is it?', 'a dog', 'Still running?', 'so far']);
    expect(state.turns.at(-1)).toMatchObject({ status: 'done', reason: 'stopped' });
    const pictures = picturesOf(state.turns);
    expect(pictures.map(({ name }) => name)).toEqual(['dog.png', 'cat.png']);
    expect(await pictures[1]?.blob.text()).toBe('cat');
  });

  it('keeps no pictures of conversations that are gone', async () => {
    const factory = new IDBFactory();
    const saved = new Saved(factory);
    exchange('One?', [dog, cat], '1');
    await saved.save({ turns: conversation.turns, settings: { system: '' }, model: undefined });
    const fresh = new Conversation();
    fresh.ask('Two?', [cat]);
    await saved.save({ turns: fresh.turns, settings: { system: '' }, model: undefined });
    const database = await new Promise<IDBDatabase>((resolve) => {
      const request = factory.open('monolens');
      request.onsuccess = () => resolve(request.result);
    });
    const keys = await new Promise((resolve) => {
      const request = database.transaction('pictures').objectStore('pictures').getAllKeys();
      request.onsuccess = () => resolve(request.result);
    });
    expect(keys).toEqual([cat.id]);
  });

  it('is nothing at first', async () => {
    expect(await new Saved(new IDBFactory()).load()).toEqual({ turns: [], settings: { system: '' }, model: undefined });
  });
});
