import type { AnswerStats, FinishReason, Grounded, Segment } from '../engine/contract';
import type { ChatEvent, Finished } from '../engine/messages';
import { asMonolensError, MonolensError } from './errors';

/** What is known of an answer, now or at its end. */
export interface AnswerResult {
  /**
   * All pieces joined. Of a whole answer (`reason` is `stop` or `stop-string`) without the spaces around it, as in the
   * official code; one that was cut is kept as it is.
   */
  text: string;
  reason: FinishReason;
  stats: AnswerStats;
  /** Boxes of a grounding answer. */
  grounding: Grounded[];
  /**
   * One a token, with the text that became certain with it. What is held back to the end, because it might have become
   * something else, belongs to no token: it is the last piece, and in `text`.
   */
  tokens: { id: number; text: string }[];
  /** The prompt's token sequence in runs of one kind. */
  segments: Segment[];
  /** Leading prompt tokens that were known from before, so that nothing was computed for them. */
  reusedTokens: number;
}

/**
 * An answer as it comes: `for await (const piece of answer)` gives its text, `await answer.finished` all about it. Leaving
 * the loop early stops the answer. The pieces can be read once; of a whole answer `finished` has them joined without the
 * spaces around them.
 */
export class Answer implements AsyncIterable<string> {
  readonly finished: Promise<AnswerResult>;

  /** All of it. */
  #text = '';
  /** What nobody has read yet. */
  #pieces: string[] = [];
  #wake: (() => void) | undefined;
  #done = false;
  #read = false;
  #stop = new AbortController();
  #tokens: { id: number; text: string }[] = [];
  #segments: Segment[] = [];
  #reused = 0;

  /** `run` begins the answer: it calls back with each event and resolves to the last. */
  constructor(run: (stop: AbortSignal, onEvent: (event: ChatEvent) => void) => Promise<Finished>) {
    this.finished = run(this.#stop.signal, (event) => this.#take(event)).then(
      ({ text: heldBack, reason, stats, grounding }) => {
        this.#give(heldBack);
        this.#end();
        // A whole answer is kept without spaces around it, as in the official code; one that was cut as it is.
        const text = reason === 'stop' || reason === 'stop-string' ? this.#text.trim() : this.#text;
        const [tokens, segments, reusedTokens] = [this.#tokens, this.#segments, this.#reused];
        return { text, reason, stats, grounding, tokens, segments, reusedTokens };
      },
      (error: unknown) => {
        this.#end();
        throw asMonolensError(error);
      },
    );
    // Whoever only reads the pieces is told by them.
    this.finished.catch(() => undefined);
  }

  /** Ends the answer early; `finished` still resolves, with reason `stopped`. */
  stop(): void {
    this.#stop.abort();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, void> {
    // What is read is kept no longer; the second reader would get nothing, or half of it.
    if (this.#read) throw new MonolensError('bad-request', 'an answer can be read once; its text is in `finished`');
    this.#read = true;
    try {
      for (;;) {
        for (const piece of this.#pieces.splice(0)) yield piece;
        if (this.#pieces.length > 0) continue;
        if (this.#done) break;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      await this.finished;
    } finally {
      this.stop();
    }
  }

  #take(event: ChatEvent): void {
    if (event.type === 'submitted') this.#segments = event.segments;
    if (event.type === 'started') this.#reused = event.reusedTokens;
    if (event.type !== 'token') return;
    this.#tokens.push({ id: event.id, text: event.text });
    this.#give(event.text);
  }

  #give(piece: string): void {
    if (piece === '') return;
    this.#text += piece;
    this.#pieces.push(piece);
    this.#wake?.();
  }

  #end(): void {
    this.#done = true;
    this.#wake?.();
  }
}
