import { byId, h } from '../base/dom';
import type { AnswerTurn, Turn } from './conversation';
import { AnswerView, questionView, type TurnActions } from './turn-view';

/** Nearer to the end than this, in pixels, the view follows a growing answer. */
const FOLLOW = 120;

/** The list of turns. */
export class Transcript {
  #list = byId('turns');
  #scroller = byId('scroller');
  #views = new Map<string, AnswerView>();
  #following = true;

  constructor(private readonly actions: TurnActions) {
    this.#scroller.addEventListener('scroll', () => {
      const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
      this.#following = scrollHeight - scrollTop - clientHeight < FOLLOW;
    });
    // Pictures get their height when they are decoded, after they were added.
    new ResizeObserver(() => this.follow()).observe(this.#list);
  }

  /** Shows `turns` and nothing else. */
  show(turns: Turn[]): void {
    this.#views.clear();
    this.#list.replaceChildren();
    for (const turn of turns) this.add(turn);
    if (turns.length > 0) return;
    // What stands in place of turns is read from its beginning.
    this.#scroller.scrollTop = 0;
    this.#following = false;
  }

  add(turn: Turn): void {
    let element: HTMLElement;
    if (turn.role === 'user') element = questionView(turn, this.actions);
    else {
      const view = new AnswerView(turn, this.actions);
      this.#views.set(turn.id, view);
      element = view.element;
    }
    this.#list.append(h('li', {}, element));
    this.scrollToEnd();
  }

  view(answer: AnswerTurn): AnswerView | undefined {
    return this.#views.get(answer.id);
  }

  /** The answer that an element is in. */
  answerAt(element: Element): AnswerTurn | undefined {
    const id = element.closest<HTMLElement>('[data-turn]')?.dataset.turn;
    return id === undefined ? undefined : this.#views.get(id)?.answer;
  }

  /** Marks the word at `[start, end)` of an answer as the one that is looked at. */
  mark(answer: AnswerTurn, start: number, end: number): void {
    for (const word of this.#list.querySelectorAll('.word.looked')) word.classList.remove('looked');
    const words = this.view(answer)?.element.querySelectorAll<HTMLElement>('.word') ?? [];
    for (const word of words) {
      const { dataset } = word;
      if (Number(dataset.start) < end && Number(dataset.end) > start) word.classList.add('looked');
    }
  }

  /** Keeps the end in sight where the visitor has not scrolled away from it. */
  follow(): void {
    if (this.#following) this.scrollToEnd();
  }

  scrollToEnd(): void {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#following = true;
  }
}
