import { codeOf, type ErrorCode } from '../../lib/errors';

/** What happened, in words for a visitor, and what to do about it. */
export interface Explanation {
  code: ErrorCode;
  title: string;
  advice: string;
  /** What the engine or the browser said. */
  detail: string;
}

/** Pictures that can be read. */
export const FORMATS = 'Use PNG, JPEG, WebP, AVIF, GIF, BMP or TIFF.';

/** Where there is no advice, what was refused and why says it best. */
const TEXTS: Record<ErrorCode, [title: string, advice?: string]> = {
  unavailable: [
    'This device cannot run the model that way.',
    'Choose "Automatic" or "CPU" under Model. For the GPU, use a current Chrome, Edge, Firefox or Safari with graphics acceleration on.',
  ],
  'device-lost': [
    'The GPU went away and did not come back.',
    'Close other tabs that use the GPU, then reload the page. The conversation is kept. If it happens again, choose "CPU" under Model.',
  ],
  'out-of-memory': [
    'There is not enough memory for this.',
    'What would fit: fewer tiles a picture (Settings), fewer pictures, a new conversation, or weights in 4 bits and keys and values in 8 (Model).',
  ],
  'bad-model': [
    'These files are no model that this page knows.',
    'It runs Mono-InternVL and InternVL-1.5 in the Hugging Face layout: config.json, tokenizer.model and *.safetensors in one folder.',
  ],
  'bad-image': ['This picture cannot be read.'],
  'bad-request': ['The model cannot take this request.'],
  'context-full': [
    'The conversation is longer than the model can remember.',
    'Begin a new conversation, or use fewer tiles a picture (Settings) and try again.',
  ],
  cancelled: ['Cancelled.', 'Nothing was changed.'],
  'read-failed': [
    'A file of the model could not be read.',
    'If it is a folder on this computer, it may have been changed or removed: choose it again.',
  ],
  internal: [
    'Something in the engine failed.',
    'Load the model again (Model), or reload the page. The conversation is kept.',
  ],
  network: [
    'The network failed, also after several tries.',
    'Check the connection and try again: what has been downloaded is kept, and the download goes on from there.',
  ],
  'cross-origin': [
    'That server does not let this page read from it.',
    'Its owner must allow other sites (CORS). Or download the folder and open it from this computer.',
  ],
  'not-found': ['There is no model there.', 'The URL or folder must be the one with config.json in it.'],
  unauthorized: [
    'The server refuses to give these files.',
    'The model is private or its licence must be accepted first. Download it where you are logged in and open the folder from this computer.',
  ],
  http: ['The server answered with an error.', 'Try again later, or use another address.'],
  'no-ranges': [
    'That server cannot send parts of a file.',
    'A model this large needs that. Use another server, or download the folder and open it from this computer.',
  ],
  'wrong-size': [
    'A file is not as long as it should be.',
    'It may be damaged, or it was changed while it was being read. Load the model again.',
  ],
  'not-a-file': [
    'A web page came instead of a file.',
    'The address may need a login, or it is not the folder of a model. For Hugging Face, give the address of the model page.',
  ],
  corrupt: [
    'The downloaded bytes are not the published ones.',
    'It was tried twice. The server has a damaged copy, or something on the way changes files.',
  ],
};

/** What was done when something failed, where other advice than the usual fits. */
export type Occasion = 'loading' | 'loading with a wished context' | 'asking without tiles to spare';

const ADVICE: Record<Occasion, Partial<Record<ErrorCode, string>>> = {
  loading: {
    'out-of-memory': 'What may fit: weights in 4 bits and keys and values in 8, or a smaller model (Model).',
  },
  'loading with a wished context': {
    'out-of-memory': 'What would fit: a smaller context than the address of this page asks for.',
  },
  'asking without tiles to spare': {
    'out-of-memory':
      'What would fit: fewer pictures, a new conversation, or weights in 4 bits and keys and values in 8 (Model).',
    'context-full': 'Begin a new conversation, or make the question shorter.',
  },
};

export function explain(error: unknown, occasion?: Occasion): Explanation {
  const code = codeOf(error);
  const [usual, advice] = TEXTS[code] ?? TEXTS.internal;
  const title = code === 'bad-request' && occasion?.startsWith('loading') ? 'It cannot be loaded that way.' : usual;
  const detail = error instanceof Error ? error.message : String(error);
  return { code, title, advice: (occasion && ADVICE[occasion][code]) ?? advice ?? sentence(detail), detail };
}

/** A message of the engine as a sentence of its own, without what it is about. */
function sentence(text: string): string {
  const message = text.replace(/^(images?|prompt|conversation)( \([^)]*\))?: /, '');
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}${/[.!?]$/.test(message) ? '' : '.'}`;
}
