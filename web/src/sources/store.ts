/** Where chunks of files are kept between visits. */
export interface ChunkStore {
  meta(file: string): Promise<FileMeta | undefined>;
  setMeta(file: string, meta: FileMeta): Promise<void>;
  /** A chunk, checked against its hash; `corrupt` where the bytes are not what was put there. */
  get(file: string, chunk: number): Promise<StoredChunk>;
  /** Keeps a chunk. Resolves to whether there was room. */
  put(file: string, chunk: number, bytes: Uint8Array<ArrayBuffer>): Promise<boolean>;
  /** Forgets a file. */
  drop(file: string): Promise<void>;
}

export interface FileMeta {
  size: number;
  etag?: string | undefined;
  /** For small files that are kept as they are (the manifest). */
  text?: string;
  /** There was no such file. Without the network too a model's optional files have to be known as missing. */
  missing?: boolean;
}

export type StoredChunk =
  | { state: 'hit'; bytes: Uint8Array<ArrayBuffer>; sha256: string }
  | { state: 'miss' }
  | { state: 'corrupt' };

/** What is kept of one model. */
export interface StoredModel {
  /** The folder it came from. */
  url: string;
  bytes: number;
}
