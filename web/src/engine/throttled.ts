/** Milliseconds between two messages about progress. */
export const PROGRESS_EVERY = 50;

/**
 * Passes on news of progress, at most every {@link PROGRESS_EVERY} of those that may wait, and nothing twice. What waits is
 * told by {@link flush}, unless something newer was.
 */
export class Throttled<T> {
  #last = Number.NEGATIVE_INFINITY;
  #told: string | undefined;
  #waiting: T | undefined;

  constructor(
    private readonly tell: (news: T) => void,
    /** What of the news counts: two with the same are the same. */
    private readonly essence: (news: T) => string,
    private readonly mayWait: (news: T) => boolean = () => true,
  ) {}

  take(news: T): void {
    this.#waiting = news;
    if (this.mayWait(news) && performance.now() - this.#last < PROGRESS_EVERY) return;
    this.flush();
  }

  /** Tells what waits. */
  flush(): void {
    const news = this.#waiting;
    this.#waiting = undefined;
    if (news === undefined) return;
    const essence = this.essence(news);
    if (essence === this.#told) return;
    this.#told = essence;
    this.#last = performance.now();
    this.tell(news);
  }
}
