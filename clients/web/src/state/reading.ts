// Marks what the user sees as read, and confirms it to the sender.
import {
  PeerError,
  ZIMConversationType,
  ZIMErrorCode,
  ZIMMessageDirection,
  ZIMMessageReceiptStatus,
} from "@peerd/client";
import type { ZIMMessage } from "@peerd/client";
import type { Thread } from "./thread.js";

const PEER = ZIMConversationType.Peer;

export class Reading {
  #isUnderWay = false;
  #isAgain = false;
  /** The newest message that was marked; and confirmed, which may change nothing. */
  #markedID = "";
  #confirmedID = "";

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
    const received = this.thread.messages.value.filter(
      (one) => one.direction === ZIMMessageDirection.Receive,
    );
    const newest = received.at(-1);
    if (newest) await this.#clear(newest);
    const waiting = received.findLast(
      (one) => one.receiptStatus === ZIMMessageReceiptStatus.Processing,
    );
    if (waiting) await this.#confirm(waiting);
  }

  async #clear(upToMessage: ZIMMessage): Promise<void> {
    const { zim, conversationID, conversations } = this.thread;
    const { messageID = "", messageSeq = 0 } = upToMessage;
    const conversation = conversations.of(conversationID);
    // The event about the conversation comes after the one about its message.
    const isNew = messageSeq > (conversation?.readMessageSeq ?? 0) && messageID !== this.#markedID;
    if (!isNew && !conversation?.isMarkedUnread) return;
    await zim.clearConversationUnreadMessageCount(conversationID, PEER, { upToMessage });
    this.#markedID = messageID;
  }

  async #confirm({ messageID = "" }: ZIMMessage): Promise<void> {
    const { zim, conversationID } = this.thread;
    if (messageID === this.#confirmedID) return;
    this.#confirmedID = messageID;
    await zim.sendConversationMessageReceiptRead(conversationID, PEER).catch((error: unknown) => {
      // A sender who blocked this user gets no receipts, and this user need not know.
      const isBlocked =
        error instanceof PeerError && error.code === ZIMErrorCode.MessageModuleSenderInBlacklist;
      if (!isBlocked) throw error;
    });
  }
}
