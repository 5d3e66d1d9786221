/**
 * Runs one piece of work at a time. Of those that are asked for meanwhile only the newest is run next: a pointer that
 * passes over ten words wants the last one.
 */
export class Latest {
  #running = false;
  #next: (() => Promise<void>) | undefined;

  run(work: () => Promise<void>): void {
    this.#next = work;
    if (!this.#running) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#running = true;
    while (this.#next) {
      const work = this.#next;
      this.#next = undefined;
      // Each piece of work tells its own failure.
      await work().catch(() => undefined);
    }
    this.#running = false;
  }
}
