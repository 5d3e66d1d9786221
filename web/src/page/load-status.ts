import type { Progress } from '../lib';
import { byId, h } from './base/dom';
import type { Explanation } from './base/explain';
import { keepFocus } from './base/focus';
import { bytes, integer } from './base/format';
import { textButton } from './base/icons';
import { errorView } from './chat/turn-view';

/** The download rate is that of the last seconds. */
const WINDOW_MS = 3000;

/** How far loading a model is: a bar, bytes, rate and what is being done; and why the last one failed. */
export class LoadStatus {
  #failure = h('div');
  #progress = h('div');
  #title = h('p', { class: 'load-title' });
  #detail = h('p', { class: 'hint' });
  #bar = h('progress', { attrs: { max: 1, value: 0, 'aria-label': 'Loading the model' } });
  #samples: { at: number; downloaded: number }[] = [];

  constructor() {
    byId('load-status').replaceChildren(this.#failure, this.#progress);
  }

  begin(name: string, cancel: () => void): void {
    this.#samples = [];
    this.#title.textContent = `Loading ${name}`;
    this.#detail.textContent = 'Starting the engine';
    this.#bar.removeAttribute('value');
    const row = h('div', { class: 'row' }, textButton('stop', 'Cancel', cancel));
    show(this.#progress, h('div', { class: 'load-card' }, this.#title, this.#bar, this.#detail, row));
  }

  progress(progress: Progress): void {
    const { stage, done, total, source } = progress;
    if (total > 0 && stage !== 'files') {
      // Weights come in larger pieces than bytes do.
      const here = stage === 'weights' && source ? Math.min(source.downloaded + source.cached, total) : 0;
      this.#bar.max = total;
      this.#bar.value = Math.max(done, here);
    }
    this.#detail.textContent = [what(progress), count(progress), this.#rate(progress)]
      .filter((s) => s !== '')
      .join(' · ');
  }

  done(): void {
    show(this.#progress);
  }

  /** Shows why loading failed, until {@link clear}; `outcome` says what is the case now. */
  failed(explanation: Explanation, outcome: string, actions: Node[]): void {
    this.done();
    // What the visitor asked for is no fault.
    const text = explanation.code === 'cancelled' ? h('p', { text: 'Loading was cancelled.' }) : errorView(explanation);
    const hint = outcome === '' ? undefined : h('p', { class: 'hint', text: outcome });
    const row = h('div', { class: 'row' }, ...actions);
    show(this.#failure, h('div', { class: 'load-card' }, text, hint, row));
  }

  /** Takes away what was said of a failure. */
  clear(): void {
    show(this.#failure);
  }

  #rate({ source, stage }: Progress): string {
    if (!source || source.downloaded === 0 || stage === 'programs') return '';
    const now = performance.now();
    this.#samples.push({ at: now, downloaded: source.downloaded });
    while (this.#samples.length > 2 && now - (this.#samples[0]?.at ?? now) > WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    if (!first || now - first.at < 200) return '';
    const rate = ((source.downloaded - first.downloaded) / (now - first.at)) * 1000;
    return rate > 0 ? `${bytes(rate)}/s` : '';
  }
}

/** Puts content in the place of another, whose buttons may have had the focus. */
function show(element: HTMLElement, ...content: Node[]): void {
  keepFocus(() => element.replaceChildren(...content));
}

function what({ stage, name, source }: Progress): string {
  // On a GPU they are compiled, on the CPU they are there.
  if (stage === 'programs') return 'Preparing programs for this device';
  if (source?.retry) {
    const { attempt, of, code } = source.retry;
    const why = code === 'http' ? 'The server is busy' : 'The server does not answer';
    return `${why}: try ${attempt} of ${of}`;
  }
  if (source && source.downloaded + source.cached === 0) return 'Connecting to the server';
  if (stage === 'weights') return `Loading weights${name ? ` (${name})` : ''}`;
  const file = source?.name || name;
  return file ? `Reading ${file}` : 'Reading the files';
}

function count({ stage, done, total, source }: Progress): string {
  if (stage === 'programs') return `${integer(done)} of ${integer(total)}`;
  const parts: string[] = [];
  if (stage === 'weights') parts.push(`${bytes(done)} of ${bytes(total)}`);
  if (source && source.downloaded > 0) parts.push(`${bytes(source.downloaded)} downloaded`);
  if (source && source.cached > 0) parts.push(`${bytes(source.cached)} from this browser`);
  return parts.join(', ');
}
