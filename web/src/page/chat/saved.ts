/**
 * The conversation in IndexedDB, pictures and all, so that it survives a reload. Pictures are kept by content and written
 * once; the rest is small and written whenever it changes.
 */
import { NO_SETTINGS, type PageSettings } from '../base/settings';
import type { AnswerTurn, Question, Turn } from './conversation';
import { Picture } from './picture';

const DATABASE = 'monolens';
const STATE = 'state';
const PICTURES = 'pictures';
const KEY = 'current';

type SavedTurn = AnswerTurn | (Omit<Question, 'pictures'> & { pictures: { id: string; name: string }[] });

interface SavedState {
  version: 1;
  turns: SavedTurn[];
  settings: PageSettings;
  model: SavedModel;
  weights?: string | undefined;
  kv?: string | undefined;
}

/** Where the model came from, if that can be opened again: a URL or a folder. */
export type SavedModel = string | FileSystemDirectoryHandle | undefined;

export interface State {
  turns: Turn[];
  settings: PageSettings;
  model: SavedModel;
  /** What its weights are rounded to; none: as stored. */
  weights?: string | undefined;
  /** What keys and values are kept in; none: as the model has it. */
  kv?: string | undefined;
}

export class Saved {
  #database: Promise<IDBDatabase>;

  constructor(factory: IDBFactory = indexedDB) {
    this.#database = open(factory);
    // Told when it is first used.
    this.#database.catch(() => undefined);
  }

  async load(): Promise<State> {
    const database = await this.#database;
    const transaction = database.transaction([STATE, PICTURES]);
    const state = (await done(transaction.objectStore(STATE).get(KEY))) as SavedState | undefined;
    if (state?.version !== 1) return { turns: [], settings: { ...NO_SETTINGS }, model: undefined };
    const pictures = transaction.objectStore(PICTURES);
    const turns: Turn[] = [];
    for (const turn of state.turns) {
      if (turn.role === 'assistant') {
        // The tab was closed while it was being answered: what had come stands.
        turns.push(turn.status === 'running' ? { ...turn, status: 'done', reason: 'stopped' } : turn);
        continue;
      }
      const own: Picture[] = [];
      for (const { id, name } of turn.pictures) {
        const blob = (await done(pictures.get(id))) as Blob | undefined;
        if (blob) own.push(new Picture(id, blob, name));
      }
      turns.push({ ...turn, pictures: own });
    }
    const { settings, model, weights, kv } = state;
    return { turns, settings, model, weights, kv };
  }

  /** Keeps `state`, and of the pictures those that are in it. */
  async save({ turns, settings, model, weights, kv }: State): Promise<void> {
    const database = await this.#database;
    const transaction = database.transaction([STATE, PICTURES], 'readwrite');
    const pictures = transaction.objectStore(PICTURES);
    const kept = new Set(await done(pictures.getAllKeys()));
    const used = new Map(
      turns.flatMap((turn) => (turn.role === 'user' ? turn.pictures : [])).map((p) => [p.id, p.blob]),
    );
    for (const [id, blob] of used) if (!kept.has(id)) pictures.put(blob, id);
    for (const id of kept) if (!used.has(String(id))) pictures.delete(id);
    const saved = turns.map(
      (turn): SavedTurn =>
        turn.role === 'user' ? { ...turn, pictures: turn.pictures.map(({ id, name }) => ({ id, name })) } : turn,
    );
    const state: SavedState = { version: 1, turns: saved, settings, model, weights, kv };
    transaction.objectStore(STATE).put(state, KEY);
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error('not saved'));
    });
  }
}

function open(factory: IDBFactory): Promise<IDBDatabase> {
  const request = factory.open(DATABASE, 1);
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
