// Messages that wait to be sent: one after another in each conversation.
import type { CallOptions } from "./calls.js";
import { notLoggedIn, tooMany } from "./errors.js";
import { RETRY_SEND_AFTER_MS } from "./options.js";
import type { Settings } from "./options.js";
import type { ZIMMessage } from "./types/messages.js";

/** One message on its way. */
export interface Outgoing {
  message: ZIMMessage;
  conversationID: string;
  /** Makes the call; resolves with the stored message. */
  send(options: CallOptions): Promise<ZIMMessage>;
}

interface Waiting {
  outgoing: Outgoing;
  began: number;
  resolve(message: ZIMMessage): void;
  reject(error: unknown): void;
}

/**
 * A bounded queue. A message is repeated with the same `localMessageID` until peerd has answered,
 * or `sendTimeoutMs` is over; the next one of the conversation waits for that, so that messages are
 * stored in the order in which they were sent.
 */
export class Outbox {
  readonly #queues = new Map<string, Waiting[]>();
  #count = 0;

  constructor(
    private readonly settings: Settings,
    private readonly ended: AbortSignal,
  ) {}

  add(outgoing: Outgoing): Promise<ZIMMessage> {
    const bound = this.settings.maxQueuedMessages;
    if (this.#count >= bound) return Promise.reject(tooMany(`${bound} messages wait to be sent`));
    this.#count += 1;
    return new Promise((resolve, reject) => {
      const waiting = { outgoing, began: Date.now(), resolve, reject };
      const queue = this.#queues.get(outgoing.conversationID);
      if (queue) {
        queue.push(waiting);
        return;
      }
      this.#queues.set(outgoing.conversationID, [waiting]);
      void this.#run(outgoing.conversationID);
    });
  }

  async #run(conversationID: string): Promise<void> {
    const queue = this.#queues.get(conversationID) ?? [];
    for (;;) {
      const waiting = queue[0];
      if (!waiting) break;
      await this.#sendOne(waiting);
      queue.shift();
      this.#count -= 1;
    }
    this.#queues.delete(conversationID);
  }

  async #sendOne({ outgoing, began, resolve, reject }: Waiting): Promise<void> {
    if (this.ended.aborted) return reject(notLoggedIn());
    const leftMs = began + this.settings.sendTimeoutMs - Date.now();
    try {
      resolve(await outgoing.send({ withinMs: Math.max(0, leftMs) }));
    } catch (error) {
      reject(error);
    }
  }
}

/** Whether a repeat is so late that peerd must search further back for the first attempt. */
export const isLateRepeat = (ageMs: number): boolean => ageMs > RETRY_SEND_AFTER_MS;
