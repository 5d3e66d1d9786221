/**
 * The chunk store in the browser's private file system (OPFS). One folder a model; a chunk is one file that ends with the
 * SHA-256 of what is before it, so a chunk is whole or known not to be, whatever moment the tab was closed at.
 *
 * For workers: `createSyncAccessHandle` is the one way to write that every browser has, and only workers have it.
 */
import { sha256 } from './sha256';
import type { ChunkStore, FileMeta, StoredChunk, StoredModel } from './store';

/** Lengths of a hash as hexadecimal text. */
const HASH_LENGTH = 64;
const ROOT = 'monolens-models';
const ABOUT = 'about.json';

interface SyncAccess {
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

type WritableHandle = FileSystemFileHandle & { createSyncAccessHandle?(): Promise<SyncAccess> };

/** The root folder of all models; `undefined` where the browser has no OPFS (private windows, plain http). */
export async function openModels(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(ROOT, { create: true });
  } catch {
    return undefined;
  }
}

/** The store of the model at `url`. */
export async function openStore(models: FileSystemDirectoryHandle, url: string): Promise<OpfsStore> {
  const key = (await sha256(new TextEncoder().encode(url))).slice(0, 32);
  const folder = await models.getDirectoryHandle(key, { create: true });
  const store = new OpfsStore(folder);
  await store.write(ABOUT, new TextEncoder().encode(JSON.stringify({ url })));
  return store;
}

export async function listModels(models: FileSystemDirectoryHandle): Promise<StoredModel[]> {
  const list: StoredModel[] = [];
  for await (const folder of models.values()) {
    if (folder.kind !== 'directory') continue;
    let bytes = 0;
    let url = '';
    for await (const file of (folder as FileSystemDirectoryHandle).values()) {
      if (file.kind !== 'file') continue;
      const content = await (file as FileSystemFileHandle).getFile();
      bytes += content.size;
      if (file.name === ABOUT) url = aboutUrl(await content.text());
    }
    list.push({ url, bytes });
  }
  return list;
}

/** Removes what is kept of the model at `url`, or of all models. */
export async function freeModels(models: FileSystemDirectoryHandle, url?: string): Promise<void> {
  const doomed: string[] = [];
  for await (const folder of models.values()) {
    if (folder.kind !== 'directory') continue;
    if (url === undefined || (await new OpfsStore(folder as FileSystemDirectoryHandle).url()) === url) {
      doomed.push(folder.name);
    }
  }
  for (const name of doomed) await models.removeEntry(name, { recursive: true });
}

export class OpfsStore implements ChunkStore {
  constructor(private readonly folder: FileSystemDirectoryHandle) {}

  async url(): Promise<string> {
    const about = await this.#read(ABOUT);
    return about ? aboutUrl(await about.text()) : '';
  }

  async meta(file: string): Promise<FileMeta | undefined> {
    const content = await this.#read(`${encodeURIComponent(file)}.json`);
    if (!content) return undefined;
    try {
      return JSON.parse(await content.text()) as FileMeta;
    } catch {
      return undefined;
    }
  }

  async setMeta(file: string, meta: FileMeta): Promise<void> {
    await this.write(`${encodeURIComponent(file)}.json`, new TextEncoder().encode(JSON.stringify(meta)));
  }

  async get(file: string, chunk: number): Promise<StoredChunk> {
    const content = await this.#read(chunkName(file, chunk));
    if (!content) return { state: 'miss' };
    const all = new Uint8Array(await content.arrayBuffer());
    if (all.length < HASH_LENGTH) return { state: 'corrupt' };
    const bytes = all.subarray(0, all.length - HASH_LENGTH);
    const expected = new TextDecoder().decode(all.subarray(all.length - HASH_LENGTH));
    const found = await sha256(bytes);
    return found === expected ? { state: 'hit', bytes, sha256: found } : { state: 'corrupt' };
  }

  async put(file: string, chunk: number, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
    const hash = new TextEncoder().encode(await sha256(bytes));
    return this.write(chunkName(file, chunk), bytes, hash);
  }

  async drop(file: string): Promise<void> {
    const prefix = `${encodeURIComponent(file)}.`;
    const doomed: string[] = [];
    for await (const entry of this.folder.values()) {
      if (entry.name.startsWith(prefix) && /^(json|\d+)$/.test(entry.name.slice(prefix.length)))
        doomed.push(entry.name);
    }
    for (const name of doomed) await this.folder.removeEntry(name);
  }

  /** Writes a file from its parts. `false`: no room, or another tab is writing it just now. */
  async write(name: string, ...parts: Uint8Array[]): Promise<boolean> {
    try {
      const handle = (await this.folder.getFileHandle(name, { create: true })) as WritableHandle;
      if (!handle.createSyncAccessHandle) return false;
      const access = await handle.createSyncAccessHandle();
      try {
        access.truncate(0);
        let at = 0;
        for (const part of parts) {
          const written = access.write(part, { at });
          if (written !== part.length) throw new DOMException('no room', 'QuotaExceededError');
          at += written;
        }
        access.flush();
      } finally {
        access.close();
      }
      return true;
    } catch (error) {
      if (error instanceof DOMException && error.name === 'QuotaExceededError') {
        await this.folder.removeEntry(name).catch(() => undefined);
      }
      return false;
    }
  }

  async #read(name: string): Promise<File | undefined> {
    try {
      return await (await this.folder.getFileHandle(name)).getFile();
    } catch {
      return undefined;
    }
  }
}

function chunkName(file: string, chunk: number): string {
  return `${encodeURIComponent(file)}.${chunk}`;
}

function aboutUrl(text: string): string {
  try {
    const about = JSON.parse(text) as { url?: unknown };
    return typeof about.url === 'string' ? about.url : '';
  } catch {
    return '';
  }
}
