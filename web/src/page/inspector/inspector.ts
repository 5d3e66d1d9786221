import type { EngineStats, ModelInfo } from '../../lib';
import { byId, h } from '../base/dom';
import { textButton } from '../base/icons';
import { localStorageGet, localStorageSet } from '../base/theme';
import type { AnswerTurn } from '../chat/conversation';
import type { Picture } from '../chat/picture';
import { type AskAttention, AttentionView } from './attention-view';
import { figures, type SelfTestState } from './figures';
import { stripView } from './strip-view';
import type { Word } from './words';

const KEY = 'monolens-inside';
/** Models of fewer parameters are looked into unasked on the CPU too; the bundled one has 8 million. */
const SMALL = 50e6;
/** As in the style sheet: from this width on the panel stands beside the conversation. */
const WIDE = '(min-width: 70rem)';

export interface InspectorHost {
  attention: AskAttention;
  /** The pictures that were sent with the question of `answer`. */
  picturesFor(answer: AnswerTurn): Picture[];
  onWord(answer: AnswerTurn, word: Word): void;
  loseDevice(): void;
}

/** The panel "See inside": attention, token sequence and figures of one answer. */
export class Inspector {
  readonly attention: AttentionView;
  answer: AnswerTurn | undefined;
  info: ModelInfo | undefined;
  stats: EngineStats | undefined;
  selfTest: SelfTestState = { text: 'not run yet' };

  #panel = byId('inspector');
  #toggle = byId('inspector-toggle');
  #strip = h('div');
  #figures = h('div');
  #lose: HTMLButtonElement;

  constructor(private readonly host: InspectorHost) {
    this.attention = new AttentionView(host.attention, host.onWord);
    this.#lose = textButton(undefined, 'Lose the GPU, to see it come back', () => host.loseDevice(), 'small');
    this.#panel.append(
      section('Where it looked', this.attention.element),
      section('Token sequence', this.#strip),
      section('Figures', this.#figures, this.#lose),
    );
    this.#toggle.addEventListener('click', () => this.open(!this.isOpen));
    byId('inspector-close').addEventListener('click', () => this.open(false));
    const wide = matchMedia(WIDE);
    const whereThereIsRoom = () => this.#set(wide.matches && localStorageGet(KEY) !== 'closed');
    wide.addEventListener('change', whereThereIsRoom);
    whereThereIsRoom();
    this.refresh();
  }

  get isOpen(): boolean {
    return !this.#panel.hasAttribute('hidden');
  }

  /** Opens or closes the panel, as the visitor asked. */
  open(open: boolean): void {
    this.#set(open);
    // On a small screen the panel is in the way more often than not, so opening it there says nothing for the next visit.
    if (matchMedia(WIDE).matches) localStorageSet(KEY, open ? 'open' : 'closed');
    if (open) this.#lookAtAll();
    if (open) byId('inspector-title').focus();
    else this.#toggle.focus();
  }

  /** Closes it where it covers the conversation. */
  closeSheet(): void {
    if (this.isOpen && !matchMedia(WIDE).matches) this.open(false);
  }

  #set(open: boolean): void {
    this.#panel.hidden = !open;
    document.body.classList.toggle('inside-open', open);
    this.#toggle.setAttribute('aria-expanded', String(open));
  }

  /** Shows an answer; the same one again where it has changed. */
  show(answer: AnswerTurn | undefined): void {
    this.answer = answer;
    this.attention.show(answer, answer ? this.host.picturesFor(answer) : []);
    this.#lookAtAll();
    this.refresh();
  }

  /** Shows where the answer looked before anybody asks, where that costs next to nothing and somebody may see it. */
  #lookAtAll(): void {
    const { info } = this;
    // A software GPU compiles kernels for longer than anybody waits.
    const isCheap = info && (info.device.isGpu || (info.device.kind === 'cpu' && info.parameters < SMALL));
    if (this.isOpen && isCheap && this.answer?.status === 'done') this.attention.lookAtAll();
  }

  /** Draws the token sequence and the figures anew. */
  refresh(): void {
    const empty = h('p', { class: 'hint', text: 'Shown when a question has been asked.' });
    this.#strip.replaceChildren(this.answer ? stripView(this.answer, this.info?.device.kind) : empty);
    this.#figures.replaceChildren(figures(this));
    this.#lose.hidden = this.info?.device.kind !== 'wgpu';
  }
}

function section(title: string, ...content: HTMLElement[]): HTMLElement {
  return h('section', {}, h('h3', { text: title }), ...content);
}
