// Marks what the user sees as read, and confirms it to the sender.
import { ZIMConversationType, ZIMMessageDirection, ZIMMessageReceiptStatus } from "@peerd/client";
import type { Thread } from "./thread.js";

const PEER = ZIMConversationType.Peer;

export class Reading {
  #isUnderWay = false;
  #isAgain = false;

  constructor(private readonly thread: Thread) {}

  /** Marks now, or once the present call is answered: one call for all that arrived meanwhile. */
  markSoon(): void {
    if (!this.#isSeen()) return;
    if (this.#isUnderWay) {
      this.#isAgain = true;
      return;
    }
    this.#isUnderWay = true;
    this.#mark()
      .catch(this.thread.onFailure)
      .finally(() => {
        this.#isUnderWay = false;
        if (!this.#isAgain) return;
        this.#isAgain = false;
        this.markSoon();
      });
  }

  /** Whether the end of the conversation is before the user's eyes. */
  #isSeen(): boolean {
    const { isAtEnd, hasNewer, hasLoaded } = this.thread;
    const isVisible = document.visibilityState === "visible";
    return isVisible && isAtEnd && hasLoaded.value && !hasNewer.value;
  }

  async #mark(): Promise<void> {
    const { thread } = this;
    const { zim, conversationID, conversations } = thread;
    const received = thread.messages.value.filter(
      (one) => one.direction === ZIMMessageDirection.Receive,
    );
    const upToMessage = received.at(-1);
    if (!upToMessage) return;
    const conversation = conversations.of(conversationID);
    // The event about the conversation comes after the one about its message.
    const isNew = (upToMessage.messageSeq ?? 0) > (conversation?.readMessageSeq ?? 0);
    if (isNew || conversation?.isMarkedUnread) {
      await zim.clearConversationUnreadMessageCount(conversationID, PEER, { upToMessage });
    }
    const isWaiting = received.some(
      (one) => one.receiptStatus === ZIMMessageReceiptStatus.Processing,
    );
    if (isWaiting) await zim.sendConversationMessageReceiptRead(conversationID, PEER);
  }
}
