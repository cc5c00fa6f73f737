// Catching up: reads what changed since a revision, and shows it.
import type { Calls } from "./calls.js";
import { compare } from "./compare.js";
import type { Inbox } from "./inbox.js";
import type { Listeners } from "./listeners.js";
import { MAX_CAUGHT_UP } from "./options.js";
import type { Known, Store } from "./store.js";
import type { ZIMConversation } from "./types/conversations.js";
import { ZIMConversationEvent, ZIMMessageDirection, ZIMMessageType } from "./types/enums.js";
import type { ZIMMessage } from "./types/messages.js";
import type { ZIMMessageQueriedResult } from "./types/results.js";
import type { ZIM } from "./zim.js";

interface Changes {
  reset?: boolean;
  conversationList: ZIMConversation[];
  revision: number;
}

/** Messages of a page, conversations of a page. */
const PAGE = 100;
/** A part of catching up; not held up by the wait for it. */
const OF_SESSION = { isOfSession: true } as const;

export class Repair {
  constructor(
    private readonly zim: ZIM,
    private readonly calls: Calls,
    private readonly store: Store,
    private readonly listeners: Listeners,
    private readonly inbox: () => Inbox,
  ) {}

  /** Shows what changed since the revision; resolves with the present one. */
  async since(revision: number): Promise<number> {
    const changes = await this.#changes(revision);
    // After the restore of an older backup, numbers of messages are used again.
    if (changes.revision < revision) for (const known of this.store.all) known.forgetShown();
    for (const conversation of changes.conversationList) {
      await this.#catchUp(conversation, revision);
      this.#show(ZIMConversationEvent.Updated, conversation);
    }
    if (changes.reset) this.#dropOthers(changes.conversationList);
    await this.#showTotal();
    return changes.revision;
  }

  /** All pages. The list is bounded by the number of the user's conversations. */
  async #changes(revision: number): Promise<Changes> {
    const found: Changes = { conversationList: [], revision: 0 };
    let nextConversation: ZIMConversation | undefined;
    for (;;) {
      const config = { count: PAGE, ...(nextConversation && { nextConversation }) };
      const body = { revision, config };
      const page: Changes = await this.calls.call("query_changes", body, OF_SESSION);
      if (!nextConversation) {
        found.revision = page.revision;
        found.reset = page.reset ?? false;
      } else if (page.reset && !found.reset) {
        return this.#changes(revision);
      }
      found.conversationList.push(...page.conversationList);
      nextConversation = page.conversationList.at(-1);
      if (!nextConversation) return found;
    }
  }

  async #catchUp(conversation: ZIMConversation, revision: number): Promise<void> {
    const known = this.store.of(conversation.conversationID);
    const before = known.messages.filter((message) => message.messageID);
    if (known.cursor) await this.readAfterCursor(conversation.conversationID);
    else await this.#readSince(known, revision);
    await this.#compare(known, before);
  }

  /** Reads and shows the messages after the cursor, of both users. */
  async readAfterCursor(conversationID: string): Promise<void> {
    const known = this.store.of(conversationID);
    let next = known.cursor;
    for (let read = 0; next && read < MAX_CAUGHT_UP;) {
      const page: ZIMMessage[] = await this.#history(conversationID, false, next);
      this.#take(known, page);
      read += page.length;
      next = page.at(-1);
    }
  }

  /** Reads and shows the messages after a revision, which is the order key of a change. */
  async #readSince(known: Known, revision: number): Promise<void> {
    const found: ZIMMessage[] = [];
    let next: ZIMMessage | undefined;
    while (found.length < MAX_CAUGHT_UP) {
      const page: ZIMMessage[] = await this.#history(known.conversationID, true, next);
      const later = page.filter((message) => (message.orderKey ?? 0) > revision);
      found.unshift(...later);
      if (page.length === 0 || later.length < page.length) break;
      next = page[0];
    }
    this.#take(known, found);
  }

  #take(known: Known, messages: ZIMMessage[]): void {
    const received = messages.filter(
      ({ direction, type }) =>
        direction === ZIMMessageDirection.Receive && type !== ZIMMessageType.Revoke,
    );
    this.inbox().showReceived(known.conversationID, received, true);
    for (const message of messages) {
      known.keep(message);
      known.advance(message);
    }
  }

  async #history(
    conversationID: string,
    reverse: boolean,
    next: ZIMMessage | undefined,
  ): Promise<ZIMMessage[]> {
    const nextMessage = next?.messageID ? { nextMessage: { messageID: next.messageID } } : {};
    const body = { conversationID, config: { count: PAGE, reverse, ...nextMessage } };
    const reply: ZIMMessageQueriedResult = await this.calls.call(
      "query_history_message",
      body,
      OF_SESSION,
    );
    return reply.messageList;
  }

  /** Shows what happened to the newest messages that this client had: edits, deletions, … */
  async #compare(known: Known, before: ZIMMessage[]): Promise<void> {
    const last = before.at(-1)?.orderKey;
    if (last === undefined) return;
    const isLater = (message: ZIMMessage): boolean =>
      message.messageID !== "" && (message.orderKey ?? 0) > last;
    const page = await this.#history(known.conversationID, true, known.messages.find(isLater));
    const from = page[0]?.orderKey ?? 0;
    const compared = before.filter((message) => (message.orderKey ?? 0) >= from);
    const present = new Map(page.map((message) => [message.messageID, message]));
    compare(this.zim, this.listeners, known, compared, (id) => present.get(id));
  }

  #show(event: ZIMConversationEvent, conversation: ZIMConversation): void {
    const known = this.store.of(conversation.conversationID);
    const isNew = event === ZIMConversationEvent.Updated && !known.conversation;
    const shown = isNew ? ZIMConversationEvent.Added : event;
    known.conversation = event === ZIMConversationEvent.Deleted ? undefined : conversation;
    const infoList = [{ event: shown, action: ACTION[shown], conversation }];
    this.listeners.emit("conversationChanged", this.zim, { infoList });
  }

  /** Conversations that are not in the complete list do not exist any more. */
  #dropOthers(listed: ZIMConversation[]): void {
    const ids = new Set(listed.map((conversation) => conversation.conversationID));
    for (const { conversation, conversationID } of this.store.all) {
      const isGone = conversation && !ids.has(conversationID);
      if (isGone) this.#show(ZIMConversationEvent.Deleted, conversation);
    }
  }

  async #showTotal(): Promise<void> {
    const totals: { unreadMessageCount: number; unreadMessageCountIncludingMuted: number } =
      await this.calls.call("query_conversation_total_unread_message_count", {}, OF_SESSION);
    this.listeners.emit("conversationTotalUnreadMessageCountUpdated", this.zim, {
      totalUnreadMessageCount: totals.unreadMessageCount,
      totalUnreadMessageCountIncludingMuted: totals.unreadMessageCountIncludingMuted,
    });
  }
}

/** The numbers of the SDK 3.x, by those of 2.x. */
const ACTION: Readonly<Record<ZIMConversationEvent, number>> = { 0: 0, 1: 2, 2: 2, 3: 1 };
