import type { Attention } from '../../lib';
import { h } from '../base/dom';
import { explain } from '../base/explain';
import { Latest } from '../base/latest';
import type { AnswerTurn } from '../chat/conversation';
import type { Picture } from '../chat/picture';
import { heatOf, paint, shareOf } from './heat';
import { spaceBefore, tokensOf, type Word, wordsOf } from './words';

/** Long answers have more words than anybody would step through. */
const MOST_WORDS = 400;
/** A pointer that stays on a word for less than this only passes over it. */
const PASSING_MS = 80;
/** Longer side of the heat map, in pixels. */
const MAP_SIDE = 512;

export type AskAttention = (answer: AnswerTurn, from: number, to: number) => Promise<Attention>;

/** Where in the pictures a word of the answer looked. */
export class AttentionView {
  readonly element: HTMLElement;

  #answer: AnswerTurn | undefined;
  #pictures: Picture[] = [];
  #attention: Attention | undefined;
  #word: Word | undefined;
  /** By answer and token range. */
  #cache = new Map<string, Promise<Attention>>();
  #latest = new Latest();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #maps = h('div', { class: 'maps' });
  #words = h('div', { class: 'words', attrs: { role: 'listbox', 'aria-label': 'Words of the answer' } });
  #layer = h('input', { attrs: { type: 'range', min: 0, max: 0, value: 0, id: 'layer' } });
  #layerName = h('output', { text: 'mean of all', attrs: { for: 'layer' } });
  #status = h('p', { class: 'hint', attrs: { role: 'status' } });

  constructor(
    private readonly ask: AskAttention,
    /** Called with the word that is looked at, to mark it in the answer. */
    private readonly onWord: (answer: AnswerTurn, word: Word) => void,
  ) {
    this.#layer.addEventListener('input', () => this.#draw());
    this.#words.addEventListener('keydown', (event) => this.#move(event));
    const layerRow = h(
      'div',
      { class: 'layer-row' },
      h('label', { text: 'Layer', attrs: { for: 'layer' } }),
      this.#layer,
      this.#layerName,
    );
    this.element = h('div', { class: 'attention' }, this.#maps, layerRow, this.#words, this.#status);
  }

  /** Shows an answer, without a word chosen yet. */
  show(answer: AnswerTurn | undefined, pictures: Picture[]): void {
    this.#answer = answer;
    this.#pictures = pictures;
    this.#attention = undefined;
    this.#word = undefined;
    this.#drawPictures();
    this.#listWords();
    this.#status.textContent = this.#nothingYet();
  }

  /** Why there is no map, or what to do for one. */
  #nothingYet(): string {
    if (this.#answer?.status === 'running') return 'The answer is still coming.';
    if (this.#pictures.length === 0) return 'There is no picture in this conversation yet.';
    if (this.#answer?.text === '') return 'There is no answer to look into.';
    return `${matchMedia('(hover: none)').matches ? 'Tap' : 'Point at'} a word of the answer.`;
  }

  /** All of the answer at hand, where nothing of it has been looked at. */
  lookAtAll(): void {
    if (!this.#word && this.#answer) this.look(0, this.#answer.text.length);
  }

  /** The characters `[start, end)` of the answer at hand. */
  look(start: number, end: number): void {
    const answer = this.#answer;
    if (!answer || answer.status === 'running' || answer.text === '' || this.#pictures.length === 0) return;
    if (this.#word?.start === start && this.#word.end === end) return;
    const before = spaceBefore(answer.tokens, answer.text);
    const range = tokensOf(answer.tokens, start + before, end + before);
    if (!range) return;
    const whole = start === 0 && end === answer.text.length;
    const word = { text: whole ? 'The answer' : `"${answer.text.slice(start, end)}"`, start, end };
    this.#word = word;
    this.#mark(word);
    // All words together need no mark.
    this.onWord(answer, whole ? { ...word, end: start } : word);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#compute(answer, word, range), PASSING_MS);
  }

  #compute(answer: AnswerTurn, word: Word, range: { from: number; to: number }): void {
    this.#latest.run(async () => {
      this.#status.textContent = `${word.text}: computing where it looked`;
      try {
        const attention = await this.#cached(answer, range.from, range.to);
        if (this.#word !== word) return;
        this.#attention = attention;
        this.#layer.max = String(attention.layers);
        this.#draw();
      } catch (error) {
        if (this.#word === word) this.#status.textContent = explain(error).title;
      }
    });
  }

  #cached(answer: AnswerTurn, from: number, to: number): Promise<Attention> {
    const key = `${answer.id} ${from} ${to}`;
    let attention = this.#cache.get(key);
    if (!attention) {
      attention = this.ask(answer, from, to);
      attention.catch(() => this.#cache.delete(key));
      this.#cache.set(key, attention);
    }
    return attention;
  }

  /** Forgets what was computed: another model looks elsewhere. */
  clear(): void {
    this.#cache.clear();
  }

  #drawPictures(): void {
    const figures = this.#pictures.map((picture) => {
      return h(
        'div',
        { class: 'map', attrs: { hidden: true } },
        picture.image(),
        h('canvas', { attrs: { 'aria-hidden': 'true' } }),
      );
    });
    this.#maps.classList.remove('several');
    this.#maps.replaceChildren(...figures);
    // Until a word is chosen the newest picture stands for all.
    const last = figures.at(-1);
    if (last) last.hidden = false;
  }

  #draw(): void {
    const attention = this.#attention;
    if (!attention) return;
    const chosen = Number(this.#layer.value);
    const layer = chosen === 0 ? undefined : chosen - 1;
    this.#layerName.textContent = layer === undefined ? 'mean of all' : `${chosen} of ${attention.layers}`;
    this.#layer.setAttribute('aria-valuetext', this.#layerName.textContent);
    const shares: number[] = [];
    this.#maps.classList.toggle('several', attention.images.length > 1);
    [...this.#maps.children].forEach((figure, i) => {
      const image = attention.images.find((candidate) => candidate.image === i);
      (figure as HTMLElement).hidden = image === undefined;
      if (!image) return;
      shares.push(shareOf(image, attention.layers, layer));
      const canvas = figure.querySelector('canvas');
      if (!canvas) return;
      const scale = MAP_SIDE / Math.max(image.columns, image.rows);
      canvas.width = Math.round(image.columns * scale);
      canvas.height = Math.round(image.rows * scale);
      paint(canvas, heatOf(image, attention.layers, layer), image.columns, image.rows);
    });
    const share = shares.map((value) => `${Math.round(value * 100)} %`).join(', ');
    this.#status.textContent = `${this.#word?.text ?? ''} gave ${share} of its attention to the picture${shares.length > 1 ? 's, in order' : ''}.`;
  }

  #listWords(): void {
    const answer = this.#answer;
    const words = answer && answer.status !== 'running' ? wordsOf(answer.text).slice(0, MOST_WORDS) : [];
    const all: Word[] = answer && words.length > 1 ? [{ text: 'Whole answer', start: 0, end: answer.text.length }] : [];
    const options = [...all, ...words].map(({ text, start, end }, i) => {
      const attrs = {
        role: 'option',
        'aria-selected': 'false',
        tabindex: i === 0 ? 0 : -1,
        'data-start': start,
        'data-end': end,
      };
      const look = () => this.look(start, end);
      const kind = i < all.length ? 'word-choice whole' : 'word-choice';
      return h('span', { class: kind, text, attrs, on: { focus: look, click: look, pointerenter: look } });
    });
    this.#words.replaceChildren(...options);
    this.#words.hidden = options.length === 0 || this.#pictures.length === 0;
  }

  #mark(word: Word): void {
    for (const option of this.#words.children as Iterable<Element & { tabIndex: number }>) {
      const { start, end } = (option as HTMLElement).dataset;
      const selected = Number(start) === word.start && Number(end) === word.end;
      option.setAttribute('aria-selected', String(selected));
      option.tabIndex = selected ? 0 : -1;
    }
    // A word of the answer that is not among the choices leaves none selected: then the first is the way in.
    const first = this.#words.firstElementChild as HTMLElement | null;
    if (first && !this.#words.querySelector('[aria-selected="true"]')) first.tabIndex = 0;
  }

  #move(event: KeyboardEvent): void {
    const steps: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    const options = [...this.#words.children] as HTMLElement[];
    const at = options.indexOf(document.activeElement as HTMLElement);
    const step = steps[event.key];
    let next: HTMLElement | undefined;
    if (step !== undefined) next = options[at + step];
    else if (event.key === 'Home') next = options[0];
    else if (event.key === 'End') next = options.at(-1);
    else return;
    event.preventDefault();
    next?.focus();
  }
}
