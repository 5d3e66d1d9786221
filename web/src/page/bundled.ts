/** What the page knows of the checkpoint that comes with it; its card (`models/mono-tiny/README.md`) says the same. */
import type { ModelSource } from '../lib';
import { modelFolder } from '../sources/model-url';

export const BUNDLED = 'models/mono-tiny/';
export const BUNDLED_NAME = 'mono-tiny';
/** Pictures of one conversation that it was trained on. */
const TRAINED_PICTURES = 1;

/** Whether a model came from the bundled folder, however its address is written. */
export function isBundled(source: ModelSource | undefined, base = document.baseURI): boolean {
  if (typeof source !== 'string' && !(source instanceof URL)) return false;
  return modelFolder(source, base) === modelFolder(BUNDLED, base);
}

/** What to say of so many pictures in one conversation to a model from `source`; nothing of models that are not known. */
export function picturesAdvice(source: ModelSource | undefined, pictures: number): string | undefined {
  if (pictures <= TRAINED_PICTURES || !isBundled(source)) return undefined;
  return `${BUNDLED_NAME} was trained on one picture at a time: with several in a conversation it guesses.`;
}
