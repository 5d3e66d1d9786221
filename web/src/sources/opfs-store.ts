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
  return new OpfsStore(models, key, url);
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
    const about = await readFile(folder as FileSystemDirectoryHandle, ABOUT);
    if (url === undefined || (about && aboutUrl(await about.text()) === url)) doomed.push(folder.name);
  }
  for (const name of doomed) await models.removeEntry(name, { recursive: true });
}

export class OpfsStore implements ChunkStore {
  constructor(
    private readonly models: FileSystemDirectoryHandle,
    /** The name of this model's folder, which is made when there is something to put in it. */
    private readonly key: string,
    private readonly url: string,
  ) {}

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
    await this.#write(`${encodeURIComponent(file)}.json`, new TextEncoder().encode(JSON.stringify(meta)));
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
    return this.#write(chunkName(file, chunk), bytes, hash);
  }

  async drop(file: string): Promise<void> {
    const prefix = `${encodeURIComponent(file)}.`;
    const doomed: string[] = [];
    const folder = await this.#folder();
    if (!folder) return;
    for await (const { name } of folder.values()) {
      if (name.startsWith(prefix) && /^(json|\d+)$/.test(name.slice(prefix.length))) doomed.push(name);
    }
    for (const name of doomed) await folder.removeEntry(name);
  }

  async #folder(): Promise<FileSystemDirectoryHandle | undefined> {
    return this.models.getDirectoryHandle(this.key).catch(() => undefined);
  }

  async #read(name: string): Promise<File | undefined> {
    const folder = await this.#folder();
    return folder && readFile(folder, name);
  }

  /** Writes a file from its parts. `false`: no room, or another tab is writing it just now. */
  async #write(name: string, ...parts: Uint8Array[]): Promise<boolean> {
    try {
      let folder = await this.#folder();
      if (!folder) {
        folder = await this.models.getDirectoryHandle(this.key, { create: true });
        await writeFile(folder, ABOUT, [new TextEncoder().encode(JSON.stringify({ url: this.url }))]);
      }
      return await writeFile(folder, name, parts);
    } catch {
      return false;
    }
  }
}

async function readFile(folder: FileSystemDirectoryHandle, name: string): Promise<File | undefined> {
  try {
    return await (await folder.getFileHandle(name)).getFile();
  } catch {
    return undefined;
  }
}

async function writeFile(folder: FileSystemDirectoryHandle, name: string, parts: Uint8Array[]): Promise<boolean> {
  const handle = (await folder.getFileHandle(name, { create: true })) as WritableHandle;
  if (!handle.createSyncAccessHandle) return false;
  const access = await handle.createSyncAccessHandle();
  let whole = true;
  try {
    access.truncate(0);
    let at = 0;
    for (const part of parts) {
      const written = access.write(part, { at });
      at += written;
      whole &&= written === part.length;
    }
    access.flush();
  } catch {
    whole = false;
  } finally {
    access.close();
  }
  // Half a file would only take the room that was missing.
  if (!whole) await folder.removeEntry(name);
  return whole;
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
