/**
 * A model in a folder on a server, read by ranges in chunks. Each chunk is kept in a {@link ChunkStore} as it arrives, so
 * that a cut download goes on where it was and a second visit reads nothing.
 */
import type { ModelFiles } from '../engine/contract';
import { codeOf, MonolensError } from '../lib/errors';
import { headSize, pieces, type RangeReply } from './fetch-range';
import { type Manifest, type ManifestFile, parseManifest } from './manifest';
import { RemoteFolder } from './remote-folder';
import type { Retry } from './retry';
import { sha256 } from './sha256';
import type { ChunkStore, FileMeta } from './store';

const CHUNK_BYTES = 4 * 1024 * 1024;
/** Chunks in memory: neighbouring tensors share chunks, and the next ones are read ahead. */
const CHUNKS_IN_MEMORY = 8;
const READ_AHEAD = 2;
/** What may be held in memory where the server knows no ranges and the browser keeps nothing for us. */
const MOST_IN_MEMORY = 1024 ** 3;
const MANIFEST = 'manifest.json';
/** What is kept need not wait for a server that does not answer. */
const ONCE = { delays: [] };

/** Counts since the source was opened, in bytes. */
export interface SourceProgress {
  name: string;
  downloaded: number;
  /** Read from the store instead. */
  cached: number;
  /** Chunks that were damaged in the store and were fetched again. */
  repaired: number;
  /** `off`: the browser gives no storage; `full`: there is no room left. The model works all the same. */
  caching: 'on' | 'off' | 'full';
  /** There while the server does not answer as it should and is asked again. */
  retry?: Retry | undefined;
}

export interface HttpOptions {
  store?: ChunkStore | undefined;
  onProgress?: ((progress: SourceProgress) => void) | undefined;
  /** Milliseconds before each further try after a network fault. */
  delays?: readonly number[];
}

interface RemoteFile {
  name: string;
  size: number;
  etag: string | undefined;
  /** Set once the server has answered a range with the whole file: the one download of all of it. */
  whole?: Promise<void> | undefined;
}

type Bytes = Uint8Array<ArrayBuffer>;

export class HttpFiles implements ModelFiles {
  #manifest: Promise<Manifest | undefined> | undefined;
  #files = new Map<string, Promise<RemoteFile | undefined>>();
  /** By `file/chunk`, the least recently used first. */
  #memory = new Map<string, Promise<Bytes>>();
  /** Chunks that could not be put in the store but cannot be asked for again either. */
  #unstored = new Map<string, Bytes>();
  #unstoredBytes = 0;
  #chunkBytes = CHUNK_BYTES;
  #progress: SourceProgress;
  readonly #remote: RemoteFolder;

  constructor(
    /** With a slash at its end. */
    private readonly folder: string,
    private readonly options: HttpOptions = {},
  ) {
    const onBytes = (name: string, count: number) => this.#came(name, count);
    this.#remote = new RemoteFolder(folder, onBytes, options.delays, (retry) => this.#report({ retry }));
    this.#progress = { name: '', downloaded: 0, cached: 0, repaired: 0, caching: options.store ? 'on' : 'off' };
  }

  /** Who may cancel what is under way, for as long as there is somebody. */
  set signal(signal: AbortSignal | undefined) {
    this.#remote.signal = signal;
  }

  async size(name: string): Promise<number | undefined> {
    return (await this.#file(name))?.size;
  }

  async read(name: string, from: number, to: number): Promise<Uint8Array> {
    const file = await this.#file(name);
    if (!file) throw new MonolensError('not-found', `${this.folder}${name} is not there`);
    if (to > file.size) throw new MonolensError('wrong-size', `${name} ends at byte ${file.size}, before ${to}`);
    const out = new Uint8Array(to - from);
    if (out.length === 0) return out;
    const first = Math.floor(from / this.#chunkBytes);
    const last = Math.floor((to - 1) / this.#chunkBytes);
    const end = Math.min(last + READ_AHEAD, Math.ceil(file.size / this.#chunkBytes) - 1);
    for (let i = first; i <= last; i++) {
      for (let ahead = i; ahead <= Math.min(i + READ_AHEAD, end); ahead++) {
        // A failure ahead is told when the chunk is needed, if it still fails then.
        this.#chunk(file, ahead).catch(() => undefined);
      }
      const chunk = await this.#chunk(file, i);
      const start = i * this.#chunkBytes;
      const part = chunk.subarray(Math.max(from - start, 0), Math.min(to - start, chunk.length));
      out.set(part, Math.max(start - from, 0));
    }
    return out;
  }

  #file(name: string): Promise<RemoteFile | undefined> {
    let file = this.#files.get(name);
    if (!file) {
      file = this.#open(name);
      this.#files.set(name, file);
      file.catch(() => this.#files.delete(name));
    }
    return file;
  }

  async #open(name: string): Promise<RemoteFile | undefined> {
    this.#manifest ??= this.#loadManifest();
    const manifest = await this.#manifest;
    if (manifest) {
      const known = manifest.files[name];
      return known && { name, size: known.size, etag: undefined };
    }
    const { store } = this.options;
    const meta = await store?.meta(name);
    // What is kept needs one byte, to see that the file is still the same; otherwise its first chunk is wanted anyway.
    const to = meta ? 1 : this.#chunkBytes;
    let reply: RangeReply;
    try {
      reply = await this.#remote.request(name, 0, to, meta ? ONCE : {});
    } catch (error) {
      const offline = error instanceof MonolensError && (error.code === 'network' || error.code === 'cross-origin');
      if (offline && meta) return meta.missing ? undefined : { name, size: meta.size, etag: meta.etag };
      throw error;
    }
    if (reply.kind === 'missing' || reply.kind === 'html') {
      if (name === 'config.json' && reply.kind === 'html') {
        throw new MonolensError('not-a-file', `${this.folder}config.json: a web page came instead of a file`);
      }
      if (meta && !meta.missing) await store?.drop(name);
      await store?.setMeta(name, { size: 0, missing: true });
      return undefined;
    }
    if (reply.kind === 'whole') return this.#openWhole(name, reply.pieces, reply.etag, meta);
    const size = reply.size ?? (await headSize(this.folder + name, this.#remote.signal));
    if (size === undefined) {
      throw new MonolensError('wrong-size', `${this.folder}${name}: the server does not say how long the file is`);
    }
    const file: RemoteFile = { name, size, etag: reply.etag };
    await this.#sameAsKept(file, meta);
    if (reply.bytes.length === Math.min(this.#chunkBytes, size)) {
      // It was asked for to learn the length, and is needed next.
      this.#memory.set(`${name}/0`, Promise.resolve(reply.bytes));
      await this.#keep(file, 0, reply.bytes);
    }
    return file;
  }

  /** A server without ranges: its length is known for certain only when all of it has come. */
  async #openWhole(
    name: string,
    body: ReadableStream<Bytes>,
    etag: string | undefined,
    meta: FileMeta | undefined,
  ): Promise<RemoteFile> {
    if (meta && etag !== undefined && meta.etag === etag && (await this.#allKept(name, meta.size))) {
      void body.cancel();
      return { name, size: meta.size, etag };
    }
    if (meta) await this.options.store?.drop(name);
    const file: RemoteFile = { name, size: Number.POSITIVE_INFINITY, etag };
    const size = await this.#remote.takeWhole(name, body, (whole) => this.#cut(file, whole));
    file.size = size;
    file.whole = Promise.resolve();
    await this.options.store?.setMeta(name, { size, etag });
    return file;
  }

  async #allKept(name: string, size: number): Promise<boolean> {
    for (let i = 0; i < Math.ceil(size / this.#chunkBytes); i++) {
      if ((await this.options.store?.get(name, i))?.state !== 'hit') return false;
    }
    return true;
  }

  /** Forgets what is kept of a file that has changed on the server since. */
  async #sameAsKept(file: RemoteFile, meta: FileMeta | undefined): Promise<void> {
    const { store } = this.options;
    if (!store || (meta && meta.size === file.size && meta.etag === file.etag)) return;
    if (meta) await store.drop(file.name);
    await store.setMeta(file.name, { size: file.size, etag: file.etag });
  }

  async #loadManifest(): Promise<Manifest | undefined> {
    const { store } = this.options;
    // The first request: that there is a server to wait for is news.
    this.#report({ name: MANIFEST });
    // Empty where there was none.
    const kept = (await store?.meta(MANIFEST))?.text;
    let text = '';
    try {
      const reply = await this.#remote.request(MANIFEST, 0, this.#chunkBytes, kept === undefined ? {} : ONCE);
      if (reply.kind === 'range') text = new TextDecoder().decode(reply.bytes);
      if (reply.kind === 'whole') text = await new Response(reply.pieces).text();
    } catch (error) {
      // Some hosts say "forbidden" for what is not there. Where all is forbidden the next file tells.
      if (codeOf(error) === 'unauthorized') return undefined;
      if (codeOf(error) !== 'network' || kept === undefined) throw error;
      text = kept;
    }
    const manifest = text === '' ? undefined : parseManifest(text);
    if (manifest) this.#chunkBytes = manifest.chunkBytes;
    if (manifest || text === '') await store?.setMeta(MANIFEST, { size: text.length, text });
    return manifest;
  }

  /** A chunk from memory, from the store or from the server. */
  #chunk(file: RemoteFile, index: number): Promise<Bytes> {
    const key = `${file.name}/${index}`;
    let chunk = this.#memory.get(key);
    if (chunk) this.#memory.delete(key);
    else {
      chunk = this.#loadChunk(file, index, key);
      chunk.catch(() => this.#memory.delete(key));
    }
    this.#memory.set(key, chunk);
    for (const oldest of this.#memory.keys()) {
      if (this.#memory.size <= CHUNKS_IN_MEMORY) break;
      this.#memory.delete(oldest);
    }
    return chunk;
  }

  async #loadChunk(file: RemoteFile, index: number, key: string): Promise<Bytes> {
    const kept = await this.#kept(file, index, key);
    if (kept) return kept;
    const bytes = await this.#download(file, index, key, 'no-store');
    if (await this.#matches(file, index, bytes)) {
      await this.#keep(file, index, bytes);
      return bytes;
    }
    // Something on the way may hold an old or broken copy; past it, the server itself is asked.
    const again = await this.#download(file, index, key, 'reload');
    if (!(await this.#matches(file, index, again))) {
      const at = index * this.#chunkBytes;
      throw new MonolensError(
        'corrupt',
        `${this.folder}${file.name}: the bytes from ${at} on are not the published ones`,
      );
    }
    await this.#keep(file, index, again);
    return again;
  }

  /** What is in the store, if it is what was put there and what the manifest says. */
  async #kept(file: RemoteFile, index: number, key: string): Promise<Bytes | undefined> {
    const unstored = this.#unstored.get(key);
    if (unstored) return unstored;
    const stored = await this.options.store?.get(file.name, index);
    if (!stored || stored.state === 'miss') return undefined;
    const expected = (await this.#known(file))?.chunks[index];
    const rightSize = stored.state === 'hit' && stored.bytes.length === this.#length(file, index);
    if (stored.state === 'corrupt' || !rightSize || (expected !== undefined && stored.sha256 !== expected)) {
      this.#report({ name: file.name, repaired: this.#progress.repaired + 1 });
      return undefined;
    }
    if (!file.whole) this.#report({ name: file.name, cached: this.#progress.cached + stored.bytes.length });
    return stored.bytes;
  }

  async #download(file: RemoteFile, index: number, key: string, cache: RequestCache): Promise<Bytes> {
    const from = index * this.#chunkBytes;
    const length = this.#length(file, index);
    // A whole download that is under way, or done, brings or has brought this chunk too.
    if (file.whole && cache !== 'reload') {
      await file.whole;
      const kept = await this.#kept(file, index, key);
      if (kept) return kept;
      file.whole = undefined;
    }
    const reply = await this.#remote.request(file.name, from, from + length, { cache });
    if (reply.kind === 'missing') throw new MonolensError('not-found', `${this.folder}${file.name} is gone`);
    if (reply.kind === 'html') {
      throw new MonolensError('not-a-file', `${this.folder}${file.name}: a web page came instead of a file`);
    }
    if (reply.kind === 'whole') {
      if (file.whole && cache !== 'reload') void reply.pieces.cancel();
      else {
        const { pieces: body } = reply;
        file.whole = this.#remote.takeWhole(file.name, body, (whole) => this.#cut(file, whole)).then(() => undefined);
        file.whole.catch(() => {
          file.whole = undefined;
        });
      }
      await file.whole;
      const kept = await this.#kept(file, index, key);
      if (!kept) throw new MonolensError('read-failed', `${file.name}: chunk ${index} was not kept`);
      return kept;
    }
    const changed =
      (reply.size !== undefined && reply.size !== file.size) ||
      (reply.etag !== undefined && file.etag !== undefined && reply.etag !== file.etag);
    if (changed || reply.bytes.length !== length) {
      throw new MonolensError(
        'wrong-size',
        changed
          ? `${this.folder}${file.name} is not the file that it was: it has ${reply.size} bytes, not ${file.size}, or has changed`
          : `${this.folder}${file.name}: ${reply.bytes.length} bytes came instead of ${length}`,
      );
    }
    return reply.bytes;
  }

  /** Cuts a whole file into chunks as it arrives. Resolves to its length. */
  async #cut(file: RemoteFile, body: ReadableStream<Bytes>): Promise<number> {
    let chunk = new Uint8Array(this.#chunkBytes);
    let filled = 0;
    let index = 0;
    const finish = async () => {
      const bytes = chunk.slice(0, filled);
      if (!(await this.#matches(file, index, bytes))) {
        throw new MonolensError('corrupt', `${this.folder}${file.name} is not the published file`);
      }
      if (!(await this.#keep(file, index, bytes))) this.#hold(file, index, bytes);
      chunk = new Uint8Array(this.#chunkBytes);
      filled = 0;
      index++;
    };
    for await (const piece of pieces(body)) {
      this.#came(file.name, piece.length);
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + this.#chunkBytes - filled);
        chunk.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled === this.#chunkBytes) await finish();
      }
    }
    const size = index * this.#chunkBytes + filled;
    if (Number.isFinite(file.size) && size !== file.size) {
      throw new MonolensError('wrong-size', `${this.folder}${file.name}: ${size} bytes came instead of ${file.size}`);
    }
    if (filled > 0) await finish();
    return size;
  }

  #hold(file: RemoteFile, index: number, bytes: Bytes): void {
    this.#unstoredBytes += bytes.length;
    if (this.#unstoredBytes > MOST_IN_MEMORY) {
      throw new MonolensError(
        'no-ranges',
        `${this.folder}${file.name}: the server sends whole files only, and this is a large one`,
      );
    }
    this.#unstored.set(`${file.name}/${index}`, bytes);
  }

  /** Puts a chunk in the store. Resolves to whether it is there. */
  async #keep(file: RemoteFile, index: number, bytes: Bytes): Promise<boolean> {
    const { store } = this.options;
    if (!store || this.#progress.caching !== 'on') return false;
    const kept = await store.put(file.name, index, bytes);
    if (!kept) this.#report({ caching: 'full' });
    return kept;
  }

  async #matches(file: RemoteFile, index: number, bytes: Bytes): Promise<boolean> {
    const expected = (await this.#known(file))?.chunks[index];
    return expected === undefined || (await sha256(bytes)) === expected;
  }

  async #known(file: RemoteFile): Promise<ManifestFile | undefined> {
    return (await this.#manifest)?.files[file.name];
  }

  #length(file: RemoteFile, index: number): number {
    return Math.min(this.#chunkBytes, file.size - index * this.#chunkBytes);
  }

  /** Bytes came, or so many of them were lost again: those of a request that failed. */
  #came(name: string, count: number): void {
    const { downloaded, retry } = this.#progress;
    this.#report({ name, downloaded: downloaded + count, retry: count > 0 ? undefined : retry });
  }

  #report(change: Partial<SourceProgress>): void {
    Object.assign(this.#progress, change);
    this.options.onProgress?.({ ...this.#progress });
  }
}
