// Which messages of a sender were shown, by their `messageSeq`.
import { MAX_MISSING } from "./options.js";

/** What a message is, compared with those that were shown before. */
export type Verdict = "next" | "afterGap" | "late" | "repeated";

/**
 * The numbers of one sender in one conversation that were shown: all from `base` to `top`, without
 * those in `missing`. Numbers have no gaps, unless messages were deleted or are late.
 */
export class Tracker {
  #base = 0;
  #top = 0;
  readonly #missing = new Set<number>();

  /** What a message with this number is. */
  verdict(seq: number): Verdict {
    if (this.#top === 0 || seq === this.#top + 1) return "next";
    if (seq > this.#top) return "afterGap";
    return seq < this.#base || this.#missing.has(seq) ? "late" : "repeated";
  }

  /** Notes that a message was shown; false if it was shown before. */
  show(seq: number): boolean {
    switch (this.verdict(seq)) {
      case "repeated":
        return false;
      case "next":
        if (this.#top === 0) this.#base = seq;
        this.#top = seq;
        return true;
      case "afterGap":
        this.#miss(Math.max(this.#top + 1, seq - MAX_MISSING), seq);
        this.#top = seq;
        return true;
      case "late":
        if (seq < this.#base) {
          this.#miss(Math.max(seq + 1, this.#base - MAX_MISSING), this.#base);
          this.#base = seq;
        }
        this.#missing.delete(seq);
        return true;
    }
  }

  #miss(from: number, to: number): void {
    for (let seq = from; seq < to; seq += 1) this.#missing.add(seq);
    // The oldest are given up: a message among them would count as repeated.
    for (const seq of this.#missing) {
      if (this.#missing.size <= MAX_MISSING) break;
      this.#missing.delete(seq);
    }
  }
}
