// Pauses between attempts.

/** Doubles from `firstMs` to `maxMs`; each pause is between half of that and all of it. */
export class Backoff {
  #nextMs: number;

  constructor(
    private readonly firstMs = 100,
    private readonly maxMs = 5000,
  ) {
    this.#nextMs = firstMs;
  }

  /** Milliseconds until the next attempt. The jitter keeps clients from returning all at once. */
  current(): number {
    return this.#nextMs * (0.5 + Math.random() / 2);
  }

  /** The same, and the attempt after that is later. */
  next(): number {
    const pause = this.current();
    this.#nextMs = Math.min(2 * this.#nextMs, this.maxMs);
    return pause;
  }

  reset(): void {
    this.#nextMs = this.firstMs;
  }
}

/** Waits, or ends early when the signal aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}
