// Conversations: lists, unread counts, settings.
import { invalid } from "../errors.js";
import type {
  ZIMConversation,
  ZIMConversationBaseInfo,
  ZIMConversationDeleteConfig,
  ZIMConversationFilterOption,
  ZIMConversationQueryConfig,
  ZIMConversationTotalUnreadMessageCountQueryConfig,
} from "../types/conversations.js";
import type { ZIMConversationNotificationStatus, ZIMConversationType } from "../types/enums.js";
import type { PeerdReadConfig } from "../types/own.js";
import type * as result from "../types/results.js";
import { nameOnly, peer } from "./base.js";
import { Users } from "./users.js";

type ConversationResult = result.ZIMConversationDeletedResult;

export abstract class Conversations extends Users {
  /**
   * Reads a page of the list: pinned first, then the newest. 1–1,000 conversations; an empty page is
   * the end, a shorter one is not.
   */
  async queryConversationList(
    config: ZIMConversationQueryConfig,
    option?: ZIMConversationFilterOption,
  ): Promise<result.ZIMConversationListQueriedResult> {
    const list: result.ZIMConversationListQueriedResult = await this.call(
      "query_conversation_list",
      { config: pageOf(config), ...(option && { option }) },
    );
    return this.#keep(list);
  }

  /** Reads a page of the pinned conversations. */
  async queryConversationPinnedList(
    config: ZIMConversationQueryConfig,
  ): Promise<result.ZIMConversationPinnedListQueriedResult> {
    const page = { config: pageOf(config) };
    const list: result.ZIMConversationPinnedListQueriedResult = await this.call(
      "query_conversation_pinned_list",
      page,
    );
    return this.#keep(list);
  }

  #keep<List extends { conversationList: ZIMConversation[] }>(list: List): List {
    for (const conversation of list.conversationList) {
      this.store.of(conversation.conversationID).conversation ??= conversation;
    }
    return list;
  }

  /** Reads one conversation. One that does not exist is 6000603. */
  async queryConversation(
    conversationID: string,
    conversationType: ZIMConversationType,
  ): Promise<result.ZIMConversationQueriedResult> {
    return this.call("query_conversation", about(conversationID, conversationType));
  }

  /** Pins a conversation to the top of the list, or unpins it. At most 100. */
  async updateConversationPinnedState(
    isPinned: boolean,
    conversationID: string,
    conversationType: ZIMConversationType,
  ): Promise<result.ZIMConversationPinnedStateUpdatedResult> {
    const body = { isPinned, ...about(conversationID, conversationType) };
    return this.call("update_conversation_pinned_state", body);
  }

  /** Removes a conversation from the list. Its messages stay, and count as read. */
  async deleteConversation(
    conversationID: string,
    conversationType: ZIMConversationType,
    _config?: ZIMConversationDeleteConfig,
  ): Promise<ConversationResult> {
    return this.call("delete_conversation", about(conversationID, conversationType));
  }

  /** Removes all conversations from the list. */
  async deleteAllConversations(_config?: ZIMConversationDeleteConfig): Promise<void> {
    await this.call("delete_all_conversations", {});
  }

  /** Marks a conversation as read, whole or (peerd's own) up to a message. */
  async clearConversationUnreadMessageCount(
    conversationID: string,
    conversationType: ZIMConversationType,
    config?: PeerdReadConfig,
  ): Promise<result.ZIMConversationUnreadMessageCountClearedResult> {
    const upTo = config?.upToMessage;
    return this.call("clear_conversation_unread_message_count", {
      ...about(conversationID, conversationType),
      ...(upTo && { upToMessage: nameOnly(upTo) }),
    });
  }

  /** Marks all conversations as read. */
  async clearConversationTotalUnreadMessageCount(): Promise<void> {
    await this.call("clear_conversation_total_unread_message_count", {});
  }

  /** Reads the total of unread messages, without and with muted conversations. */
  async queryConversationTotalUnreadMessageCount(
    config: ZIMConversationTotalUnreadMessageCountQueryConfig = {},
  ): Promise<result.ZIMConversationTotalUnreadMessageCountQueriedResult> {
    return this.call("query_conversation_total_unread_message_count", { config });
  }

  /** Mutes a conversation (2, DoNotDisturb) or unmutes it (1, Notify). */
  async setConversationNotificationStatus(
    status: ZIMConversationNotificationStatus,
    conversationID: string,
    conversationType: ZIMConversationType,
  ): Promise<result.ZIMConversationNotificationStatusSetResult> {
    const body = { status, ...about(conversationID, conversationType) };
    return this.call("set_conversation_notification_status", body);
  }

  /** Keeps the text that the user has begun to write, for all devices: at most 4,096 bytes. */
  async setConversationDraft(
    draft: string,
    conversationID: string,
    conversationType: ZIMConversationType,
  ): Promise<result.ZIMConversationDraftSetResult> {
    const body = { draft, ...about(conversationID, conversationType) };
    return this.call("set_conversation_draft", body);
  }

  /** Puts a mark (1–20) on 1–100 conversations, or removes it. */
  async setConversationMark(
    markType: number,
    enable: boolean,
    conversationInfos: ZIMConversationBaseInfo[],
  ): Promise<result.ZIMConversationMarkSetResult> {
    const infos = conversationInfos.map((info) =>
      about(info.conversationID, info.conversationType),
    );
    return this.call("set_conversation_mark", { markType, enable, conversationInfos: infos });
  }

  /** peerd's own: marks a conversation as unread, as a reminder, or removes that mark. */
  async setConversationUnread(
    isMarkedUnread: boolean,
    conversationID: string,
    conversationType: ZIMConversationType,
  ): Promise<ConversationResult> {
    const body = { isMarkedUnread, ...about(conversationID, conversationType) };
    return this.call("set_conversation_unread", body);
  }

  /** Confirms that all messages of a conversation were read. */
  async sendConversationMessageReceiptRead(
    conversationID: string,
    conversationType: ZIMConversationType,
  ): Promise<result.ZIMConversationMessageReceiptReadSentResult> {
    const body = about(conversationID, conversationType);
    return this.call("send_conversation_message_receipt_read", body);
  }

  /**
   * peerd's own: shows the other user that this user is typing, or stopped. Repeat it every few
   * seconds while the user types.
   */
  async sendTyping(
    isTyping: boolean,
    conversationID: string,
    conversationType: ZIMConversationType,
  ): Promise<void> {
    const body = { isTyping, ...about(conversationID, conversationType) };
    await this.call("send_typing", body, { withinMs: 2000 });
  }
}

/** A conversation in the body of a call. */
function about(
  conversationID: string,
  conversationType: ZIMConversationType | undefined,
): { conversationID: string; conversationType: 0 } {
  if (typeof conversationID !== "string") throw invalid("conversationID must be text");
  return { conversationID, conversationType: peer(conversationType) };
}

/** A page's configuration, with as much of the last conversation as peerd reads. */
function pageOf({ count, nextConversation }: ZIMConversationQueryConfig): {
  count: number;
  nextConversation?: { conversationID: string; orderKey: number; isPinned: boolean };
} {
  if (!nextConversation) return { count };
  const { conversationID, orderKey, isPinned } = nextConversation;
  return { count, nextConversation: { conversationID, orderKey, isPinned } };
}
