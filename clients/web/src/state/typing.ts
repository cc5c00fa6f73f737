// Shows the other user that this one is typing, or stopped.

/** peerd passes one sign a second on, see "Bounds" in docs/protocol.md. */
const GAP_MS = 1100;
/** The other user's client forgets after some seconds. */
const REPEAT_MS = 3000;

export class Typing {
  #isWanted = false;
  #isShown = false;
  #sentAt = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly send: (isTyping: boolean) => void) {}

  typed(): void {
    this.#isWanted = true;
    this.#plan();
  }

  stop(): void {
    this.#isWanted = false;
    this.#plan();
  }

  /** A message was sent, which is a sign by itself. */
  ended(): void {
    this.#isWanted = false;
    this.#isShown = false;
  }

  #plan(): void {
    if (this.#timer !== undefined || (!this.#isWanted && !this.#isShown)) return;
    const isRepeat = this.#isWanted && this.#isShown;
    const wait = this.#sentAt + (isRepeat ? REPEAT_MS : GAP_MS) - Date.now();
    if (wait <= 0) return this.#sign();
    // The next key comes back here.
    if (isRepeat) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#isWanted !== this.#isShown) this.#sign();
    }, wait);
  }

  #sign(): void {
    this.#sentAt = Date.now();
    this.#isShown = this.#isWanted;
    this.send(this.#isWanted);
  }
}
