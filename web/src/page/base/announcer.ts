import { byId } from './dom';

/** Not more often than this, in milliseconds: a screen reader has to get through with one piece first. */
const PAUSE = 3000;

/** Speaks to screen readers. A streaming answer is told in whole sentences, and now and then only. */
export class Announcer {
  #region = byId('announcements');
  #said = 0;
  #last = 0;

  say(text: string): void {
    this.#region.append(Object.assign(document.createElement('p'), { textContent: text }));
    while (this.#region.childElementCount > 3) this.#region.firstElementChild?.remove();
  }

  /** Begins a new answer. */
  begin(): void {
    this.#said = 0;
    this.#last = performance.now();
  }

  /** `text` is all of the answer so far. */
  stream(text: string, finished: boolean): void {
    const now = performance.now();
    if (!finished && now - this.#last < PAUSE) return;
    const fresh = text.slice(this.#said);
    const sentences = finished ? fresh : (/^.*[.!?:\n](?=\s|$)/s.exec(fresh)?.[0] ?? '');
    if (sentences.trim() === '') return;
    this.#said += sentences.length;
    this.#last = now;
    this.say(sentences.trim());
  }
}
