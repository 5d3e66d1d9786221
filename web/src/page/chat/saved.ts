/**
 * The conversation in IndexedDB, pictures and all, so that it survives a reload. Pictures are kept by content and written
 * once; the rest is small and written whenever it changes.
 */
import type { KvFormat, WeightFormat } from '../../lib';
import { NO_SETTINGS, type PageSettings } from '../base/settings';
import { type AnswerTurn, type Draft, NO_DRAFT, type Question, type Turn } from './conversation';
import { Picture } from './picture';

const STATE = 'state';
const PICTURES = 'pictures';
const KEY = 'current';

interface SavedPicture {
  id: string;
  name: string;
}

/** A picture's content. Not a `Blob`: WebKit keeps none in private windows. */
interface Content {
  bytes: ArrayBuffer;
  type: string;
}

type SavedTurn = AnswerTurn | (Omit<Question, 'pictures'> & { pictures: SavedPicture[] });

interface SavedState {
  version: 2;
  turns: SavedTurn[];
  settings: PageSettings;
  model: SavedModel;
  weights?: WeightFormat | undefined;
  kv?: KvFormat | undefined;
  /** What was being written and shown to be sent. */
  draft: { text: string; pictures: SavedPicture[] };
}

/** Where the model came from: a URL, a folder, or the name of a folder that the browser cannot open again by itself. */
export type SavedModel = string | FileSystemDirectoryHandle | { folder: string } | undefined;

export interface State {
  turns: Turn[];
  settings: PageSettings;
  model: SavedModel;
  /** What its weights are rounded to; none: as stored. */
  weights?: WeightFormat | undefined;
  /** What keys and values are kept in; none: as the model has it. */
  kv?: KvFormat | undefined;
  draft: Draft;
}

/** The database of the first conversation; others of tabs beside it have a number behind that. */
export const FIRST = 'monolens';

export class Saved {
  #database: Promise<IDBDatabase>;

  constructor(
    private readonly name = FIRST,
    private readonly factory: IDBFactory = indexedDB,
  ) {
    this.#database = open(factory, name);
    // Told when it is first used.
    this.#database.catch(() => undefined);
  }

  /** What was kept. A tab's first conversation begins with the settings and the model of the other ones. */
  async load(): Promise<State> {
    const own = await this.#load();
    if (own) return own;
    const first = this.name === FIRST ? undefined : await new Saved(FIRST, this.factory).load();
    return { settings: { ...NO_SETTINGS }, model: undefined, ...first, turns: [], draft: NO_DRAFT };
  }

  async #load(): Promise<State | undefined> {
    const database = await this.#database;
    const transaction = database.transaction([STATE, PICTURES]);
    const state = (await done(transaction.objectStore(STATE).get(KEY))) as SavedState | undefined;
    if (state?.version !== 2) return undefined;
    const pictures = transaction.objectStore(PICTURES);
    const those = async (saved: SavedPicture[]): Promise<Picture[]> => {
      const own: Picture[] = [];
      for (const { id, name } of saved) {
        const content = (await done(pictures.get(id))) as Content | undefined;
        if (content) own.push(new Picture(id, new Blob([content.bytes], { type: content.type }), name));
      }
      return own;
    };
    const turns: Turn[] = [];
    for (const turn of state.turns) {
      if (turn.role === 'user') turns.push({ ...turn, pictures: await those(turn.pictures) });
      // The tab was closed while it was being answered: what had come stands.
      else turns.push(turn.status === 'running' ? { ...turn, status: 'done', reason: 'stopped' } : turn);
    }
    const { settings, model, weights, kv, draft } = state;
    return { turns, settings, model, weights, kv, draft: { text: draft.text, pictures: await those(draft.pictures) } };
  }

  /** Keeps `state`, and of the pictures those that are in it. */
  async save({ turns, settings, model, weights, kv, draft }: State): Promise<void> {
    const database = await this.#database;
    const named = (those: readonly Picture[]) => those.map(({ id, name }): SavedPicture => ({ id, name }));
    const saved = turns.map(
      (turn): SavedTurn => (turn.role === 'user' ? { ...turn, pictures: named(turn.pictures) } : turn),
    );
    const written = { text: draft.text, pictures: named(draft.pictures) };
    const state: SavedState = { version: 2, turns: saved, settings, model, weights, kv, draft: written };
    const all = [...turns.flatMap((turn) => (turn.role === 'user' ? turn.pictures : [])), ...draft.pictures];
    const used = new Map(all.map(({ id, blob }) => [id, blob]));
    const kept = new Set(await done(database.transaction(PICTURES).objectStore(PICTURES).getAllKeys()));
    // Read before the writing begins: a transaction does not wait for anything else.
    const fresh = await Promise.all(
      [...used].filter(([id]) => !kept.has(id)).map(async ([id, blob]) => ({ id, content: await contentOf(blob) })),
    );
    const transaction = database.transaction([STATE, PICTURES], 'readwrite');
    const pictures = transaction.objectStore(PICTURES);
    for (const { id, content } of fresh) pictures.put(content, id);
    for (const id of kept) if (!used.has(String(id))) pictures.delete(id);
    transaction.objectStore(STATE).put(state, KEY);
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error('not saved'));
    });
  }
}

async function contentOf(blob: Blob): Promise<Content> {
  return { bytes: await blob.arrayBuffer(), type: blob.type };
}

function open(factory: IDBFactory, name: string): Promise<IDBDatabase> {
  const request = factory.open(name, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore(STATE);
    request.result.createObjectStore(PICTURES);
  };
  return done(request);
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('IndexedDB failed'));
  });
}
