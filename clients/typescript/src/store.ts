// What the client keeps in memory: conversations, messages, and what was shown of them.
import { MAX_CONVERSATIONS, MAX_MESSAGES, MAX_MESSAGES_OF_CONVERSATION } from "./options.js";
import { Tracker } from "./tracker.js";
import type { ZIMConversation } from "./types/conversations.js";
import type { ZIMMessage } from "./types/messages.js";

/** Messages are counted once in so many changes, because each count visits all conversations. */
const COUNT_EVERY = 100;

/** The key of a message: its ID, or that of the device as long as peerd has given none. */
export const keyOf = (message: ZIMMessage): string =>
  message.messageID ? message.messageID : `local ${message.localMessageID ?? ""}`;

const keyToSort = (message: ZIMMessage | undefined): number => message?.orderKey ?? 0;

/** One conversation in memory. */
export class Known {
  /** As the last event or list showed it. */
  conversation: ZIMConversation | undefined;
  /** The newest message up to which everything was shown, of either user. */
  cursor: ZIMMessage | undefined;
  shown = new Tracker();
  readonly #messages = new Map<string, ZIMMessage>();
  /** The same, ascending by order key. */
  #sorted: ZIMMessage[] = [];

  constructor(readonly conversationID: string) {}

  get size(): number {
    return this.#sorted.length;
  }

  /** The messages in memory, ascending by order key. */
  get messages(): readonly ZIMMessage[] {
    return this.#sorted;
  }

  /** The largest order key in memory; 0 if there is none. */
  get newestKey(): number {
    return keyToSort(this.#sorted.at(-1));
  }

  /** Messages that peerd does not have: inserted here, being sent, or failed. */
  get localMessages(): ZIMMessage[] {
    return this.#sorted.filter((message) => !message.messageID);
  }

  /** Keeps a message; drops the oldest ones beyond the bound. */
  keep(message: ZIMMessage): void {
    const key = keyOf(message);
    const kept = this.#messages.get(key);
    if (kept?.localExtendedData && !message.localExtendedData) {
      message.localExtendedData = kept.localExtendedData;
    }
    this.drop(key);
    this.#messages.set(key, message);
    this.#sorted.splice(this.#placeOf(keyToSort(message)), 0, message);
    const oldest = this.#sorted[0];
    if (oldest && this.size > MAX_MESSAGES_OF_CONVERSATION) this.drop(keyOf(oldest));
  }

  /** The place after the messages with smaller or the same order key. Most messages come last. */
  #placeOf(orderKey: number): number {
    let place = this.#sorted.length;
    while (place > 0 && keyToSort(this.#sorted[place - 1]) > orderKey) place -= 1;
    return place;
  }

  drop(key: string): void {
    const message = this.#messages.get(key);
    if (!message) return;
    this.#messages.delete(key);
    this.#sorted.splice(this.#sorted.lastIndexOf(message), 1);
  }

  dropAll(): void {
    this.#messages.clear();
    this.#sorted = [];
  }

  /** Forgets what was shown, because the store of peerd went back to an earlier state. */
  forgetShown(): void {
    this.shown = new Tracker();
    this.cursor = undefined;
    this.dropAll();
  }

  /** Everything up to this message was shown. */
  advance(message: ZIMMessage): void {
    if ((message.orderKey ?? 0) > (this.cursor?.orderKey ?? 0)) this.cursor = message;
  }
}

export class Store {
  readonly #known = new Map<string, Known>();
  #untilCount = COUNT_EVERY;

  /** The conversation, which counts as changed now. */
  of(conversationID: string): Known {
    const known = this.#known.get(conversationID) ?? new Known(conversationID);
    this.#known.delete(conversationID);
    this.#known.set(conversationID, known);
    this.#bound(known);
    return known;
  }

  peek(conversationID: string): Known | undefined {
    return this.#known.get(conversationID);
  }

  get all(): Known[] {
    return [...this.#known.values()];
  }

  keep(message: ZIMMessage): void {
    if (message.conversationID) this.of(message.conversationID).keep(message);
  }

  clear(): void {
    this.#known.clear();
  }

  /** Drops the least recently changed: conversations, then the messages of others. */
  #bound(current: Known): void {
    for (const id of this.#known.keys()) {
      if (this.#known.size <= MAX_CONVERSATIONS) break;
      this.#known.delete(id);
    }
    this.#untilCount -= 1;
    if (this.#untilCount > 0) return;
    this.#untilCount = COUNT_EVERY;
    let messages = this.all.reduce((sum, known) => sum + known.size, 0);
    for (const known of this.#known.values()) {
      if (messages <= MAX_MESSAGES) break;
      if (known === current) continue;
      messages -= known.size;
      known.dropAll();
    }
  }
}
