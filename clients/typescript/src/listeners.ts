// Listeners of events.
import type { PeerdEventHandler, ZIMEventHandler } from "./handlers.js";

type Handlers = ZIMEventHandler & PeerdEventHandler;

type Listener = (...args: never[]) => void;

/** Several listeners for each event; a listener that throws does not disturb the others. */
export class Listeners {
  readonly #of = new Map<string, Set<Listener>>();

  constructor(private readonly onFailure: (event: string, error: unknown) => void) {}

  /** Adds a listener. The same function is added once. */
  add(event: string, listener: Listener): void {
    const set = this.#of.get(event) ?? new Set();
    this.#of.set(event, set.add(listener));
  }

  /** Removes a listener, or all of the event. */
  remove(event: string, listener?: Listener): void {
    if (listener) this.#of.get(event)?.delete(listener);
    else this.#of.delete(event);
  }

  clear(): void {
    this.#of.clear();
  }

  emit<E extends keyof Handlers>(event: E, ...args: Parameters<Handlers[E]>): void {
    for (const listener of [...(this.#of.get(event) ?? [])]) {
      try {
        (listener as (...given: unknown[]) => void)(...args);
      } catch (error) {
        this.onFailure(event, error);
      }
    }
  }
}
