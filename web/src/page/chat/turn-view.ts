import { h } from '../base/dom';
import type { Explanation } from '../base/explain';
import { keepFocus } from '../base/focus';
import { decodeRate, integer, plural, seconds } from '../base/format';
import { iconButton, textButton } from '../base/icons';
import { boxesView } from '../inspector/boxes';
import type { AnswerTurn, Question } from './conversation';
import { MarkdownView } from './markdown';
import type { Picture } from './picture';
import { pictureView } from './picture-view';

export interface TurnActions {
  retry(answer: AnswerTurn): void;
  edit(question: Question, text: string): void;
  /** Tiles a picture with which a retry may fit into memory; `undefined` where there are no fewer. */
  fewerTiles(): number | undefined;
  retryWith(answer: AnswerTurn, maxTiles: number): void;
  newConversation(): void;
  inspect(answer: AnswerTurn): void;
  copy(text: string): void;
  /** The picture that an answer's boxes belong to. */
  boxesOn(answer: AnswerTurn): Picture | undefined;
}

export function questionView(question: Question, actions: TurnActions): HTMLElement {
  const bubble = h('div', { class: 'bubble', text: question.text });
  const pictures = h('div', { class: 'pictures' }, ...question.pictures.map((picture) => pictureView(picture)));
  const editButton = iconButton('edit', 'Edit question', () => edit());
  const tools = h(
    'div',
    { class: 'tools' },
    editButton,
    iconButton('copy', 'Copy question', () => actions.copy(question.text)),
  );
  const view = h('article', { class: 'turn question', attrs: { 'aria-label': 'Your question' } });
  view.append(...(question.pictures.length > 0 ? [pictures] : []), bubble, tools);

  const edit = () => {
    const field = h('textarea', { attrs: { rows: 3, required: true, 'aria-label': 'Edit question' } });
    field.value = question.text;
    const close = () => {
      const put = () => {
        form.replaceWith(bubble);
        tools.hidden = false;
      };
      keepFocus(put, () => editButton);
    };
    const save = (event: Event) => {
      event.preventDefault();
      field.value = field.value.trim();
      if (field.reportValidity()) actions.edit(question, field.value);
    };
    const form = h(
      'form',
      { class: 'edit', on: { submit: save } },
      field,
      h('div', { class: 'row' }, textButton(undefined, 'Cancel', close), submitButton('Ask again')),
    );
    form.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') close();
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) save(event);
      event.stopPropagation();
    });
    bubble.replaceWith(form);
    tools.hidden = true;
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  };
  return view;
}

function submitButton(label: string): HTMLButtonElement {
  return h('button', { class: 'button primary', text: label, attrs: { type: 'submit' } });
}

/** An answer, while it comes and after. */
export class AnswerView {
  readonly element: HTMLElement;
  #text = h('div', { class: 'markdown', attrs: { 'data-testid': 'answer-text' } });
  #markdown = new MarkdownView(this.#text);
  #state = h('div', { class: 'answer-state' });
  #copy: HTMLButtonElement;
  #inside: HTMLButtonElement;
  #tools: HTMLElement;

  constructor(
    readonly answer: AnswerTurn,
    private readonly actions: TurnActions,
  ) {
    this.#copy = iconButton('copy', 'Copy answer', () => actions.copy(answer.text));
    this.#inside = iconButton('inside', 'See inside this answer', () => actions.inspect(answer));
    const retry = iconButton('retry', 'Retry', () => actions.retry(answer));
    this.#tools = h('div', { class: 'tools' }, this.#copy, retry, this.#inside);
    const attrs = { 'aria-label': 'Answer', 'data-turn': answer.id };
    this.element = h('article', { class: 'turn answer', attrs }, this.#text, this.#state, this.#tools);
    this.update();
  }

  /** Progress of reading the prompt, before the first word. */
  progress(text: string, done: number, total: number): void {
    const bar = h('progress', { attrs: { max: Math.max(total, 1), value: done, 'aria-label': text } });
    this.#state.replaceChildren(h('span', { text }), bar);
  }

  /** Shows what the answer has become. */
  update(): void {
    const { answer } = this;
    const running = answer.status === 'running';
    this.#markdown.update(answer.text);
    this.element.classList.toggle('running', running);
    this.element.setAttribute('aria-busy', String(running));
    this.element.classList.toggle('lookable', !running && this.actions.boxesOn(answer) !== undefined);
    this.#tools.hidden = running;
    this.#copy.hidden = answer.text === '';
    this.#inside.hidden = answer.segments.length === 0;
    if (!running) {
      this.#state.replaceChildren(...this.#ending());
      this.#boxes();
    } else if (answer.text !== '') this.#state.replaceChildren();
  }

  #ending(): Node[] {
    const { error, reason, stats, text } = this.answer;
    const nodes: Node[] = [];
    if (error) {
      const box = errorView(error);
      const ways = this.#waysOut(error);
      if (ways.length > 0) box.querySelector('details')?.before(h('div', { class: 'row' }, ...ways));
      nodes.push(box);
    } else if (text === '') nodes.push(h('p', { class: 'hint', text: 'No answer.' }));
    if (stats) {
      const perSecond = decodeRate(stats);
      const rate = perSecond ? `${perSecond} tokens/s` : '';
      const reused = stats.reusedTokens > 0 ? `${integer(stats.reusedTokens)} tokens reused` : '';
      const first = stats.generatedTokens > 0 ? `first token ${seconds(stats.timeToFirstToken)}` : '';
      const facts = [first, rate, reused, ending(reason)];
      nodes.push(h('p', { class: 'hint', text: facts.filter((fact) => fact !== '').join(' · ') }));
    } else if (reason === 'stopped') nodes.push(h('p', { class: 'hint', text: 'stopped' }));
    return nodes;
  }

  /** What a visitor can do about an answer that found no room. */
  #waysOut({ code }: Explanation): HTMLElement[] {
    if (code !== 'out-of-memory' && code !== 'context-full') return [];
    const ways: HTMLElement[] = [];
    const tiles = this.actions.fewerTiles();
    if (tiles !== undefined) {
      const label = `Retry with at most ${plural(tiles, 'tile')} a picture`;
      ways.push(textButton('retry', label, () => this.actions.retryWith(this.answer, tiles)));
    }
    if (code === 'context-full')
      ways.push(textButton('plus', 'New conversation', () => this.actions.newConversation()));
    return ways;
  }

  #boxes(): void {
    this.element.querySelector('.boxes')?.remove();
    const { grounding } = this.answer;
    const picture = grounding.length > 0 ? this.actions.boxesOn(this.answer) : undefined;
    if (picture) this.#text.after(boxesView(picture, grounding));
  }
}

function ending(reason: AnswerTurn['reason']): string {
  if (reason === 'stopped') return 'stopped';
  if (reason === 'max-tokens') return 'ended at the most tokens allowed';
  if (reason === 'context-full') return 'ended: no room for more';
  return '';
}

export function errorView({ title, advice, detail, code }: Explanation): HTMLElement {
  return h(
    'div',
    { class: 'error-box', attrs: { role: 'alert', 'data-code': code } },
    h('strong', { text: title }),
    h('p', { text: advice }),
    h('details', {}, h('summary', { text: 'Details' }), h('p', { text: `${code}: ${detail}` })),
  );
}
