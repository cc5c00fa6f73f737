// What the user writes: messages, replies, edits, and that the user is typing.
import { signal } from "@preact/signals";
import { PeerError, ZIMConversationType, ZIMErrorCode, ZIMMessageType } from "@peerd/client";
import type { ZIMMediaMessage, ZIMMessage, ZIMTextMessage } from "@peerd/client";
import type { Words } from "../words.js";
import { inWords } from "../words.js";
import type { Thread } from "./thread.js";
import { Typing } from "./typing.js";

const PEER = ZIMConversationType.Peer;
/** The largest text, in bytes, see "Bounds" in docs/protocol.md. */
export const MAX_TEXT_BYTES = 2048;

export class Sending {
  readonly text = signal("");
  readonly replyTo = signal<ZIMMessage | undefined>(undefined);
  readonly editing = signal<ZIMTextMessage | undefined>(undefined);
  /** Why messages were not sent, by `localMessageID`. */
  readonly failures = signal<ReadonlyMap<string, Words>>(new Map());
  /** The messages to which unsent ones reply. */
  readonly #originals = new WeakMap<ZIMMessage, ZIMMessage>();
  /** What was begun before an edit. */
  #unsent = "";
  readonly typing = new Typing((isTyping) => {
    const { zim, conversationID } = this.thread;
    // A sign that is lost is worth no message to the user.
    zim.sendTyping(isTyping, conversationID, PEER).catch(() => undefined);
  });

  constructor(private readonly thread: Thread) {}

  /** Sends what was written, or ends the edit. */
  submit(): void {
    const text = this.text.value.trim();
    if (!text) return;
    const { editing } = this;
    const edited = editing.value;
    this.text.value = edited ? this.#unsent : "";
    if (edited) {
      editing.value = undefined;
      void this.#edit(edited, text);
      return;
    }
    this.typing.ended();
    this.saveDraft();
    this.send({ type: ZIMMessageType.Text, message: text } as ZIMTextMessage);
  }

  send(message: ZIMTextMessage | ZIMMediaMessage): void {
    const replyTo = this.replyTo.value;
    this.replyTo.value = undefined;
    if (replyTo) this.#originals.set(message, replyTo);
    this.#send(message, false);
  }

  /** Sends a failed message again: peerd stores it once. */
  sendAgain(message: ZIMMessage): void {
    this.#setFailure(message, undefined);
    this.#send(message, true);
  }

  #send(message: ZIMMessage, isRetrySend: boolean): void {
    const { zim, conversationID } = this.thread;
    const original = this.#originals.get(message);
    const config = { hasReceipt: true, isRetrySend };
    // The message changes in place when it is stored, and is shown at once.
    const notification = { onMessageAttached: (one: ZIMMessage) => this.#attached(one) };
    const sent = original
      ? zim.replyMessage(message, original, config, notification)
      : zim.sendMessage(message, conversationID, PEER, config, notification);
    sent.catch((error: unknown) => this.#failed(message, error));
  }

  #attached(message: ZIMMessage): void {
    const { thread } = this;
    thread.isAtEnd = true;
    thread.firstUnread.value = undefined;
    if (thread.hasNewer.value) void thread.toEnd().then(() => thread.add([message]));
    else thread.add([message]);
  }

  #failed(message: ZIMMessage, error: unknown): void {
    this.#setFailure(message, inWords(error));
    if (!message.localMessageID) this.thread.onFailure(error);
  }

  #setFailure({ localMessageID = "" }: ZIMMessage, words: Words | undefined): void {
    const failures = new Map(this.failures.value);
    if (words) failures.set(localMessageID, words);
    else failures.delete(localMessageID);
    this.failures.value = failures;
  }

  async #edit(message: ZIMTextMessage, text: string): Promise<void> {
    if (text === message.message) return;
    const { zim } = this.thread;
    await this.#orFailure(async () => {
      const { message: edited } = await zim.editMessage({
        ...message,
        message: text,
      } as ZIMMessage);
      this.thread.replace([edited]);
    });
  }

  async revoke(message: ZIMMessage): Promise<void> {
    await this.#orFailure(async () => {
      const revoked = await this.thread.zim.revokeMessage(message);
      this.thread.replace([revoked.message]);
    });
  }

  async delete(message: ZIMMessage): Promise<void> {
    const { zim, conversationID } = this.thread;
    await this.#orFailure(async () => {
      await zim.deleteMessages([message], conversationID, PEER);
      this.thread.remove(message);
    });
  }

  async pin(message: ZIMMessage, isPinned: boolean): Promise<void> {
    await this.#orFailure(() => this.thread.zim.pinMessage(message, isPinned));
  }

  async react(message: ZIMMessage, reactionType: string): Promise<void> {
    const { zim } = this.thread;
    const own = message.reactions?.find((one) => one.reactionType === reactionType);
    await this.#orFailure(async () => {
      if (own?.isSelfIncluded) await zim.deleteMessageReaction(reactionType, message);
      else await zim.addMessageReaction(reactionType, message);
    });
  }

  async #orFailure(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (error) {
      const isShownAlready =
        error instanceof PeerError &&
        error.code === ZIMErrorCode.MessageModuleMessageReactionTypeExisted;
      if (!isShownAlready) this.thread.onFailure(error);
    }
  }

  typed(text: string): void {
    this.text.value = text;
    if (this.editing.value || !text.trim()) this.typing.stop();
    else this.typing.typed();
  }

  /** Keeps what was begun to be written, for all devices of the user. */
  saveDraft(): void {
    const { zim, conversationID, conversations, onFailure } = this.thread;
    const draft = this.editing.value ? this.#unsent : this.text.value;
    if (draft === (conversations.of(conversationID)?.draft ?? "")) return;
    zim.setConversationDraft(draft, conversationID, PEER).catch(onFailure);
  }

  beginReply(message: ZIMMessage): void {
    this.cancel();
    this.replyTo.value = message;
  }

  beginEdit(message: ZIMTextMessage): void {
    this.replyTo.value = undefined;
    if (!this.editing.value) this.#unsent = this.text.value;
    this.editing.value = message;
    this.text.value = message.message;
  }

  /** Ends the reply or the edit. */
  cancel(): void {
    if (this.editing.value) this.text.value = this.#unsent;
    this.editing.value = undefined;
    this.replyTo.value = undefined;
  }
}
