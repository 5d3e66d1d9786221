import { IDBFactory } from 'fake-indexeddb';
import { beforeEach, describe, expect, it } from 'vitest';
import { Conversation, picturesOf, toMessages } from '../src/page/chat/conversation';
import { Picture } from '../src/page/chat/picture';
import { Saved } from '../src/page/chat/saved';

let conversation: Conversation;
let dog: Picture;
let cat: Picture;
let bird: Picture;

/** What there is at first. */
const nothing = { turns: [], settings: { system: '' }, model: undefined, draft: { text: '', pictures: [] } };

beforeEach(async () => {
  conversation = new Conversation();
  dog = await Picture.of(new Blob(['dog']), 'dog.png');
  cat = await Picture.of(new Blob(['cat']), 'cat.png');
  bird = await Picture.of(new Blob(['bird']), 'bird.png');
});

function exchange(text: string, pictures: Picture[], answer: string) {
  const question = conversation.ask(text, pictures);
  const turn = conversation.beginAnswer();
  Object.assign(turn, { text: answer, status: answer === '' ? 'failed' : 'done' });
  return { question, turn };
}

describe('a conversation', () => {
  it('becomes messages with pictures in front of their question', () => {
    const { turn } = exchange('What is it?', [dog], 'a dog');
    turn.tokens.push({ id: 7, text: 'a' }, { id: 9, text: ' dog' });
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
      { role: 'assistant', content: 'a dog', ids: [7, 9] },
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
    await new Saved('monolens', factory).save({
      turns: conversation.turns,
      settings,
      model: 'models/x/',
      weights: '4bit',
      kv: '8bit',
      draft: { text: 'And', pictures: [cat, bird] },
    });
    const state = await new Saved('monolens', factory).load();
    expect(state.settings).toEqual(settings);
    expect(state.model).toBe('models/x/');
    expect([state.weights, state.kv]).toEqual(['4bit', '8bit']);
    expect(state.turns.map(({ text }) => text)).toEqual(['What is it?', 'a dog', 'Still running?', 'so far']);
    expect(state.turns.at(-1)).toMatchObject({ status: 'done', reason: 'stopped' });
    const pictures = picturesOf(state.turns);
    expect(pictures.map(({ name }) => name)).toEqual(['dog.png', 'cat.png']);
    expect(await pictures[1]?.blob.text()).toBe('cat');
    expect(state.draft.text).toBe('And');
    expect(state.draft.pictures.map(({ name }) => name)).toEqual(['cat.png', 'bird.png']);
    expect(await state.draft.pictures[1]?.blob.text()).toBe('bird');
  });

  it('is that of one tab; another one begins anew, with the settings and the model of the first', async () => {
    const factory = new IDBFactory();
    const [first, second] = [new Saved('monolens', factory), new Saved('monolens-2', factory)];
    const settings = { system: 'Be brief.' };
    exchange('One?', [dog], '1');
    await first.save({ ...nothing, turns: conversation.turns, settings, model: 'models/x/', weights: '4bit' });
    const fresh = await second.load();
    expect(fresh).toEqual({ ...nothing, settings, model: 'models/x/', weights: '4bit' });
    const other = new Conversation();
    other.ask('Two?', [cat]);
    await second.save({ ...fresh, turns: other.turns, settings: nothing.settings });
    expect((await first.load()).turns.map(({ text }) => text)).toEqual(['One?', '1']);
    expect(picturesOf((await first.load()).turns).map(({ name }) => name)).toEqual(['dog.png']);
    expect(await second.load()).toMatchObject({ settings: nothing.settings, turns: [{ text: 'Two?' }] });
  });

  it('keeps no pictures of conversations that are gone', async () => {
    const factory = new IDBFactory();
    const saved = new Saved('monolens', factory);
    exchange('One?', [dog, cat], '1');
    await saved.save({ ...nothing, turns: conversation.turns, draft: { text: '', pictures: [bird] } });
    const fresh = new Conversation();
    fresh.ask('Two?', [cat]);
    await saved.save({ ...nothing, turns: fresh.turns });
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
    expect(await new Saved('monolens', new IDBFactory()).load()).toEqual(nothing);
  });
});
