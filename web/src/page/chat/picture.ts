import type { ImageInfo } from '../../lib';
import { sha256 } from '../../sources/sha256';

/** A picture of the conversation. `info` and `error` come from the model at hand and change with it. */
export class Picture extends EventTarget {
  readonly url: string;
  info: ImageInfo | undefined;
  error: string | undefined;

  constructor(
    /** SHA-256 of its content. */
    readonly id: string,
    readonly blob: Blob,
    readonly name: string,
  ) {
    super();
    this.url = URL.createObjectURL(blob);
  }

  static async of(blob: Blob, name: string): Promise<Picture> {
    return new Picture(await sha256(new Uint8Array(await blob.arrayBuffer())), blob, name);
  }

  /** Says what the model makes of it. */
  set(info: ImageInfo | undefined, error?: string): void {
    this.info = info;
    this.error = error;
    this.dispatchEvent(new Event('change'));
  }
}
