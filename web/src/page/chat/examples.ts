import { byId, h } from '../base/dom';
import { notify, withdraw } from '../base/notices';
import { EXAMPLES } from '../base/params';
import type { Turn } from './conversation';
import { Picture } from './picture';

/** An entry of `examples/questions.json`. */
interface Entry {
  image: string;
  question: string;
  follow_up?: string[];
}

export interface Example {
  question: string;
  picture: Picture;
}

/** Example pictures for a first try, and follow-up questions about them afterwards. */
export class Examples {
  #grid = byId('examples');
  #followUps = byId('follow-ups');
  #entries: Entry[] = [];
  /** Which entry a picture came from, by the picture's id. */
  #origin = new Map<string, Entry>();
  #enabled = false;

  constructor(
    private readonly onChoose: (example: Example) => void,
    private readonly onFollowUp: (question: string) => void,
  ) {}

  async load(): Promise<void> {
    try {
      const response = await fetch(`${EXAMPLES}questions.json`);
      this.#entries = response.ok ? ((await response.json()) as Entry[]) : [];
    } catch {
      // A page without examples works all the same.
      return;
    }
    this.#grid.replaceChildren(...this.#entries.map((entry) => this.#card(entry)));
    this.#enable();
  }

  /** Offers what fits to the conversation: pictures at its beginning, then questions not yet asked about the picture. */
  show(turns: Turn[], enabled: boolean): void {
    this.#enabled = enabled;
    const questions = turns.filter((turn) => turn.role === 'user');
    const entry = questions
      .map(({ pictures: [picture] }) => picture && this.#origin.get(picture.id))
      .findLast((e) => e);
    const asked = new Set(questions.map(({ text }) => plain(text)));
    const open = enabled && !atDeadEnd(turns) ? (entry?.follow_up ?? []).filter((q) => !asked.has(plain(q))) : [];
    this.#followUps.replaceChildren(
      ...open.map((question) => {
        const ask = () => this.onFollowUp(question);
        return h('button', { class: 'chip', text: question, attrs: { type: 'button' }, on: { click: ask } });
      }),
    );
    this.#enable();
  }

  #card(entry: Entry): HTMLElement {
    const image = h('img', { attrs: { src: EXAMPLES + entry.image, alt: '', loading: 'lazy', decoding: 'async' } });
    const choose = () => void this.#choose(entry);
    const attrs = { type: 'button' };
    return h('button', { class: 'example', attrs, on: { click: choose } }, image, h('span', { text: entry.question }));
  }

  async #choose(entry: Entry): Promise<void> {
    withdraw('picture');
    try {
      const response = await fetch(EXAMPLES + entry.image);
      if (!response.ok) throw new Error(`status ${response.status}`);
      const picture = await Picture.of(await response.blob(), entry.image);
      this.#origin.set(picture.id, entry);
      this.onChoose({ question: entry.question, picture });
    } catch (error) {
      notify(
        'picture',
        'error',
        `${entry.image} could not be fetched: ${error instanceof Error ? error.message : error}`,
      );
    }
  }

  #enable(): void {
    for (const card of this.#grid.children) (card as HTMLButtonElement).disabled = !this.#enabled;
  }
}

/** A question without what is only a way to write it. */
function plain(question: string): string {
  return question
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
}

/** Whether another question would fail as the last one did, or miss the picture that got no answer. */
function atDeadEnd(turns: Turn[]): boolean {
  const last = turns.at(-1);
  return last?.role === 'assistant' && (last.status === 'failed' || last.reason === 'context-full');
}
