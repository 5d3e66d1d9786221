/** Messages in the OpenAI chat format, and what becomes of them on the way to the engine. */
import type { WireImage, WireMessage } from '../engine/messages';
import { cancelled } from './abort';
import { MonolensError } from './errors';

export interface Message {
  role: 'system' | 'user' | 'assistant';
  content: string | ContentPart[];
  /**
   * Of an answer the ids of its tokens (`AnswerResult.tokens`). A sampled text may be cut into tokens in another way; with
   * these, where they say the text, a follow-up computes none of it again.
   */
  ids?: readonly number[];
}

export type ContentPart = TextPart | ImageUrlPart | ImagePart;

export interface TextPart {
  type: 'text';
  /** `<image>` in it marks where an image goes; otherwise the order of the parts decides. */
  text: string;
}

export interface ImageUrlPart {
  type: 'image_url';
  /** `data:`, `blob:`, `https:` or `http:`. `detail: 'low'` makes one tile of the picture. */
  image_url: string | { url: string | URL; detail?: 'auto' | 'low' | 'high' };
}

/** A picture that is at hand, without the way through a URL. */
export interface ImagePart {
  type: 'image';
  image: Blob | ImageBitmap;
  maxTiles?: number;
}

const MARK = '<image>';

export async function toWire(messages: readonly Message[], signal?: AbortSignal): Promise<WireMessage[]> {
  // JavaScript hands over anything.
  if (!Array.isArray(messages)) throw new MonolensError('bad-request', 'expected a list of messages');
  if (messages.length === 0) throw new MonolensError('bad-request', 'there are no messages');
  return Promise.all(messages.map((message) => wireMessage(message, signal)));
}

async function wireMessage({ role, content, ids }: Message, signal: AbortSignal | undefined): Promise<WireMessage> {
  if (!['system', 'user', 'assistant'].includes(role)) throw new MonolensError('bad-request', `no role "${role}"`);
  const known = ids ? { ids: [...ids] } : {};
  if (typeof content === 'string') return { role, text: content, images: [], ...known };
  if (!Array.isArray(content)) throw new MonolensError('bad-request', `no content of type "${typeof content}"`);
  const images = await Promise.all(
    content.filter((part) => part.type !== 'text').map((part) => wireImage(part, signal)),
  );
  return { role, text: textOf(content, images.length), images, ...known };
}

/** Images in front of all text need no mark: the model's own template puts them there. */
function textOf(content: ContentPart[], images: number): string {
  const texts = content.filter((part) => part.type === 'text').map((part) => part.text);
  const marked = texts.join('').split(MARK).length - 1;
  const firstText = content.findIndex((part) => part.type === 'text');
  const inFront = firstText < 0 || !content.slice(firstText).some((part) => part.type !== 'text');
  if (inFront || (marked > 0 && marked === images)) return texts.join('\n');
  return content.map((part) => (part.type === 'text' ? part.text : MARK)).join('\n');
}

async function wireImage(part: ImageUrlPart | ImagePart, signal: AbortSignal | undefined): Promise<WireImage> {
  if (part.type === 'image') {
    const image = part.image instanceof Blob ? part.image : await encoded(part.image);
    return { image, maxTiles: part.maxTiles };
  }
  if (part.type !== 'image_url')
    throw new MonolensError('bad-request', `no content of type "${(part as { type: string }).type}"`);
  const { url, detail } =
    typeof part.image_url === 'string' ? { url: part.image_url, detail: undefined } : part.image_url;
  return { image: await fetched(String(url), signal), maxTiles: detail === 'low' ? 1 : undefined };
}

async function fetched(url: string, signal: AbortSignal | undefined): Promise<Blob> {
  // Not by `fetch`: a page's security policy may forbid it to fetch `data:`.
  if (url.startsWith('data:')) return fromDataUrl(url);
  try {
    const response = await fetch(url, { signal: signal ?? null });
    if (response.ok) return await response.blob();
    const code = response.status === 404 ? 'not-found' : 'http';
    throw new MonolensError(code, `${url}: the server answered with status ${response.status}`);
  } catch (error) {
    if (error instanceof MonolensError) throw error;
    if (signal?.aborted) throw cancelled();
    throw new MonolensError('network', `${url}: ${error instanceof Error ? error.message : error}`);
  }
}

export function fromDataUrl(url: string): Blob {
  const match = /^data:([^,]*?)(;base64)?,(.*)$/s.exec(url);
  if (!match) throw new MonolensError('bad-request', 'not a data: URL');
  const [, type = '', base64, data = ''] = match;
  try {
    const text = base64 ? atob(data) : decodeURIComponent(data);
    return new Blob([Uint8Array.from(text, (c) => c.charCodeAt(0))], { type });
  } catch {
    throw new MonolensError('bad-request', 'a data: URL that cannot be decoded');
  }
}

async function encoded(bitmap: ImageBitmap): Promise<Blob> {
  try {
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext('2d');
    if (!context) throw new MonolensError('internal', 'no canvas');
    context.drawImage(bitmap, 0, 0);
    return await canvas.convertToBlob({ type: 'image/png' });
  } catch (error) {
    // An ImageBitmap that was closed has no size and no pixels.
    if (error instanceof MonolensError) throw error;
    throw new MonolensError('bad-image', `an ImageBitmap: ${error instanceof Error ? error.message : error}`);
  }
}
