/** Messages in the OpenAI chat format, and what becomes of them on the way to the engine. */
import type { WireImage, WireMessage } from '../engine/messages';
import { refusesOtherSites } from '../sources/fetch-range';
import { cancelled } from './abort';
import { absolute } from './address';
import { demand, expecting, isA, LIST, OBJECT, oneOf, refuse, TEXT, URL_TEXT, whole } from './checks';
import { MonolensError } from './errors';
import { TILES } from './known';

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
  image_url: string | URL | { url: string | URL; detail?: 'auto' | 'low' | 'high' };
}

/** A picture that is at hand, without the way through a URL. */
export interface ImagePart {
  type: 'image';
  image: Blob | ImageBitmap;
  maxTiles?: number;
}

const MARK = '<image>';

const ROLE = oneOf('system', 'user', 'assistant');
const DETAIL = oneOf('auto', 'low', 'high');
const TYPE = oneOf('text', 'image_url', 'image');
const IMAGE = expecting('a Blob or an ImageBitmap', (value) => isA(value, 'Blob', 'File', 'ImageBitmap'));

export async function toWire(messages: readonly Message[], signal?: AbortSignal): Promise<WireMessage[]> {
  demand('messages', messages, LIST);
  if (messages.length === 0) throw new MonolensError('bad-request', 'there are no messages');
  return Promise.all(Array.from(messages, (message, i) => wireMessage(message, `messages[${i}]`, signal)));
}

/** `name` is what the message is called where it is refused. */
async function wireMessage(message: Message, name: string, signal: AbortSignal | undefined): Promise<WireMessage> {
  demand(name, message, OBJECT);
  const { role, content, ids } = message;
  demand(`${name}.role`, role, ROLE);
  if (ids !== undefined) demand(`${name}.ids`, ids, [whole(0)]);
  const known = ids ? { ids: [...ids] } : {};
  if (typeof content === 'string') return { role, text: content, images: [], ...known };
  if (!Array.isArray(content)) refuse(`${name}.content`, 'a text or a list of parts', content);
  for (const [i, part] of content.entries()) checkPart(part, `${name}.content[${i}]`);
  const images = await Promise.all(
    content.filter((part) => part.type !== 'text').map((part) => wireImage(part, signal)),
  );
  return { role, text: textOf(content, images.length), images, ...known };
}

function checkPart(part: ContentPart, name: string): void {
  demand(name, part, OBJECT);
  demand(`${name}.type`, part.type, TYPE);
  if (part.type === 'text') demand(`${name}.text`, part.text, TEXT);
  if (part.type === 'image') {
    demand(`${name}.image`, part.image, IMAGE);
    if (part.maxTiles !== undefined) demand(`${name}.maxTiles`, part.maxTiles, TILES);
  }
  if (part.type !== 'image_url') return;
  const { url, detail } = addressOf(part);
  demand(`${name}.image_url.url`, url, URL_TEXT);
  if (detail !== undefined) demand(`${name}.image_url.detail`, detail, DETAIL);
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
    const image = isA(part.image, 'ImageBitmap') ? await encoded(part.image as ImageBitmap) : (part.image as Blob);
    return { image, maxTiles: part.maxTiles };
  }
  const { url, detail } = addressOf(part);
  return { image: await fetched(String(url), signal), maxTiles: detail === 'low' ? 1 : undefined };
}

function addressOf({ image_url: given }: ImageUrlPart): { url: string | URL; detail?: string } {
  return OBJECT(given) || isA(given, 'URL') ? { url: given as string } : (given as { url: string });
}

async function fetched(url: string, signal: AbortSignal | undefined): Promise<Blob> {
  // Not by `fetch`: a page's security policy may forbid it to fetch `data:`.
  if (url.startsWith('data:')) return fromDataUrl(url);
  const address = absolute(url);
  try {
    const response = await fetch(url, { signal: signal ?? null });
    if (response.ok) return await response.blob();
    const code = response.status === 404 ? 'not-found' : 'http';
    throw new MonolensError(code, `${url}: the server answered with status ${response.status}`);
  } catch (error) {
    if (error instanceof MonolensError) throw error;
    // A browser does not say why it failed; but it reaches a server that only forbids to read.
    const refuses = await refusesOtherSites(address, signal);
    if (signal?.aborted) throw cancelled(signal);
    if (refuses) throw new MonolensError('cross-origin', `${url}: the server does not let this page read from it`);
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
