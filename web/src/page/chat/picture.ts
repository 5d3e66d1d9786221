import type { ImageInfo } from '../../lib';
import { sha256 } from '../../sources/sha256';
import { h } from '../base/dom';

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

  /** An element that shows it; where the browser cannot (TIFF), a grey one of its shape, which says so. */
  image(): HTMLImageElement {
    const image = h('img', { attrs: { src: this.url, alt: this.name, decoding: 'async' } });
    const instead = () => {
      const { width = 4, height = 3 } = this.info ?? {};
      image.src = noPreview(width, height);
    };
    image.addEventListener(
      'error',
      () => {
        instead();
        this.addEventListener('change', instead);
      },
      { once: true },
    );
    return image;
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

/** A drawing of this shape. */
function noPreview(width: number, height: number): string {
  const side = 240 / Math.max(width, height);
  const [w, h] = [width * side, height * side];
  const text = `<text x="${w / 2}" y="${h / 2}" text-anchor="middle" font-family="sans-serif" font-size="15" fill="#fff">no preview here</text>`;
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}"><rect width="100%" height="100%" fill="#777"/>${text}</svg>`;
  return URL.createObjectURL(new Blob([drawing], { type: 'image/svg+xml' }));
}
