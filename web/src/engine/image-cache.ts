import { codeOf, MonolensError } from '../lib/errors';
import { sha256 } from '../sources/sha256';
import type { ImageInfo, WasmEngine } from './contract';
import type { WireImage } from './messages';

/** Tiles that are kept ready, of all images together. */
const MOST_TILES = 64;

/**
 * Images that the engine has decoded and cut, by their content: a picture that comes again with the next question is not
 * decoded again.
 */
export class ImageCache {
  /** The least recently used first. */
  #images = new Map<string, ImageInfo>();

  constructor(private readonly engine: WasmEngine) {}

  /** The engine's images for all of `images`. Others are forgotten where there are too many. */
  async addAll(images: WireImage[]): Promise<ImageInfo[]> {
    const infos: ImageInfo[] = [];
    const wanted = new Set<string>();
    for (const { image, maxTiles } of images) {
      const bytes = new Uint8Array(await image.arrayBuffer());
      const key = `${await sha256(bytes)} ${maxTiles ?? ''}`;
      const info = this.#images.get(key) ?? (await this.#decode(image, bytes, maxTiles));
      this.#images.delete(key);
      this.#images.set(key, info);
      wanted.add(key);
      infos.push(info);
    }
    this.#forget(wanted);
    return infos;
  }

  async #decode(image: Blob, bytes: Uint8Array, maxTiles: number | undefined): Promise<ImageInfo> {
    try {
      return this.engine.addImage(bytes, maxTiles);
    } catch (error) {
      if (codeOf(error) !== 'bad-image') throw error;
      // AVIF and what else the browser knows and the engine does not.
      const png = await browserDecoded(image).catch(() => undefined);
      if (!png) throw error;
      return this.engine.addImage(png, maxTiles);
    }
  }

  #forget(wanted: Set<string>): void {
    const tiles = (info: ImageInfo) => info.columns * info.rows + (info.thumbnail ? 1 : 0);
    let total = 0;
    for (const info of this.#images.values()) total += tiles(info);
    for (const [key, info] of this.#images) {
      if (total <= MOST_TILES) return;
      if (wanted.has(key)) continue;
      this.engine.removeImage(info.id);
      this.#images.delete(key);
      total -= tiles(info);
    }
  }
}

async function browserDecoded(image: Blob): Promise<Uint8Array> {
  const bitmap = await createImageBitmap(image);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d');
  if (!context) throw new MonolensError('bad-image', 'no canvas');
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
}
