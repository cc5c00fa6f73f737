// Messages that were sent: history, receipts, changes.
import { PeerError } from "../errors.js";
import { contentOf } from "../content.js";
import { ZIMErrorCode } from "../types/codes.js";
import { ZIMConversationType, ZIMMessageQueryMode, ZIMMessageType } from "../types/enums.js";
import type {
  ZIMMessageDeleteConfig,
  ZIMMessageEditConfig,
  ZIMMessagePinConfig,
  ZIMMessageQueryConfig,
  ZIMMessageReactionAddConfig,
  ZIMMessageReactionUserQueryConfig,
  ZIMMessageRepliedListQueryConfig,
  ZIMMessageRevokeConfig,
  ZIMMessageSendNotification,
} from "../types/message-configs.js";
import type { ZIMCombineMessage, ZIMMessage } from "../types/messages.js";
import type * as result from "../types/results.js";
import { nameOnly, named, peer } from "./base.js";
import { Conversations } from "./conversations.js";

type Queried = result.ZIMMessageQueriedResult;

export abstract class Messages extends Conversations {
  /**
   * Reads a page of 1–100 messages, ascending by order key. With `reverse` from the newest towards
   * older. An empty page is the end, a shorter one is not. Messages that are only on this device
   * (inserted, being sent, or failed) are shown in their place.
   */
  async queryHistoryMessage(
    conversationID: string,
    conversationType: ZIMConversationType,
    config: ZIMMessageQueryConfig,
  ): Promise<Queried> {
    const { count, reverse = false, nextMessage, mode } = config;
    if (mode === ZIMMessageQueryMode.OnlyLocal) {
      return this.#localPage(conversationID, count, reverse, nextMessage);
    }
    // Only in a conversation that peerd does not have is a local message the first of a page.
    if (nextMessage && !nextMessage.messageID) return emptyPage(conversationID);
    const next = nextMessage ? { nextMessage: nameOnly(nextMessage) } : {};
    const page: Queried = await this.call("query_history_message", {
      conversationID,
      conversationType: peer(conversationType),
      config: { count, reverse, ...next },
    });
    const local = this.store.peek(conversationID)?.localMessages ?? [];
    for (const message of page.messageList) this.store.keep(message);
    return { ...page, messageList: merge(page.messageList, local, reverse && !nextMessage) };
  }

  #localPage(
    conversationID: string,
    count: number,
    reverse: boolean,
    next: ZIMMessage | undefined,
  ): Queried {
    const all = this.store.peek(conversationID)?.messages ?? [];
    const from = next?.orderKey ?? (reverse ? Infinity : -Infinity);
    const rest = all.filter(({ orderKey = 0 }) => (reverse ? orderKey < from : orderKey > from));
    const messageList = reverse ? rest.slice(-count) : rest.slice(0, count);
    return { ...emptyPage(conversationID), messageList };
  }

  /** Reads messages by 1–10 `messageSeq` numbers, which count for each sender. */
  async queryMessages(
    messageSeqs: number[],
    conversationID: string,
    conversationType: ZIMConversationType,
  ): Promise<Queried> {
    const body = { messageSeqs, conversationID, conversationType: peer(conversationType) };
    return this.call("query_messages", body);
  }

  /** Reads a Combine with the messages inside it. */
  async queryCombineMessageDetail(
    message: ZIMCombineMessage,
  ): Promise<result.ZIMCombineMessageDetailQueriedResult> {
    return this.call("query_combine_message_detail", { message: named(message) });
  }

  /** Deletes 1–100 messages for this user only. */
  async deleteMessages(
    messageList: ZIMMessage[],
    conversationID: string,
    conversationType: ZIMConversationType,
    _config?: ZIMMessageDeleteConfig,
  ): Promise<result.ZIMMessageDeletedResult> {
    const about = { conversationID, conversationType: peer(conversationType) };
    const stored = messageList.filter((message) => message.messageID);
    for (const message of messageList) {
      const key = message.messageID || `local ${message.localMessageID ?? ""}`;
      this.store.peek(conversationID)?.drop(key);
    }
    const areAllLocal = stored.length === 0 && messageList.length > 0;
    if (!areAllLocal) {
      await this.call("delete_messages", { messageList: stored.map(nameOnly), ...about });
    }
    return about;
  }

  /** Deletes all messages of a conversation for this user only. The conversation stays. */
  async deleteAllMessage(
    conversationID: string,
    conversationType: ZIMConversationType,
    _config?: ZIMMessageDeleteConfig,
  ): Promise<result.ZIMMessageDeletedResult> {
    const about = { conversationID, conversationType: peer(conversationType) };
    await this.call("delete_all_message", about);
    this.store.peek(conversationID)?.dropAll();
    return about;
  }

  /** Deletes all messages of all conversations for this user only. */
  async deleteAllConversationMessages(_config?: ZIMMessageDeleteConfig): Promise<void> {
    await this.call("delete_all_conversation_messages", {});
    for (const known of this.store.all) known.dropAll();
  }

  /** Replaces the content of an own Text, Custom or Multiple message, for 24 hours. */
  async editMessage(
    message: ZIMMessage,
    _config?: ZIMMessageEditConfig,
    notification?: ZIMMessageSendNotification,
  ): Promise<result.ZIMMessageEditedResult> {
    notification?.onMessageAttached?.(message);
    const body = { message: { ...contentOf(message), ...named(message) } };
    const edited: result.ZIMMessageEditedResult = await this.call("edit_message", body);
    this.store.keep(edited.message);
    return edited;
  }

  /** Removes the content of an own message for both users, for 2 minutes after the send. */
  async revokeMessage(
    message: ZIMMessage,
    config: ZIMMessageRevokeConfig = {},
  ): Promise<result.ZIMMessageRevokedResult> {
    const body = { message: named(message), config };
    const revoked = await this.call<result.ZIMMessageRevokedResult>("revoke_message", body).catch(
      async (error: unknown) => {
        // An earlier attempt that was not answered may have revoked it.
        if (!isAfterEffect(error, ZIMErrorCode.MessageModuleMessageHasBeenRevoked)) throw error;
        const present = await this.#read(message);
        if (present?.type !== ZIMMessageType.Revoke) throw error;
        return { message: present };
      },
    );
    this.store.keep(revoked.message);
    return revoked;
  }

  /** The present state of a message. */
  async #read(message: ZIMMessage): Promise<ZIMMessage | undefined> {
    const { conversationID = "", messageSeq = 0, senderUserID = "" } = message;
    const body = { conversationID, messageSeqs: [messageSeq], senderUserID };
    const found: Queried = await this.call("query_messages", body);
    return found.messageList.find((one) => one.messageID === message.messageID);
  }

  /** Confirms that 1–10 received messages were read. */
  async sendMessageReceiptsRead(
    messageList: ZIMMessage[],
    conversationID: string,
    conversationType: ZIMConversationType,
  ): Promise<result.ZIMMessageReceiptsReadSentResult> {
    const about = { conversationID, conversationType: peer(conversationType) };
    return this.call("send_message_receipts_read", {
      messageList: messageList.map(nameOnly),
      ...about,
    });
  }

  /** Reads the status of the receipts of 1–100 messages. */
  async queryMessageReceiptsInfo(
    messageList: ZIMMessage[],
    conversationID: string,
    conversationType: ZIMConversationType,
  ): Promise<result.ZIMMessageReceiptsInfoQueriedResult> {
    const about = { conversationID, conversationType: peer(conversationType) };
    return this.call("query_message_receipts_info", {
      messageList: messageList.map(nameOnly),
      ...about,
    });
  }

  /**
   * Adds a reaction. With an `increaseCount` above 0 the call is not repeated once it may have taken
   * effect, because it adds each time.
   */
  async addMessageReaction(
    reactionType: string,
    message: ZIMMessage,
    config?: ZIMMessageReactionAddConfig,
  ): Promise<result.ZIMMessageReactionAddedResult> {
    const isRepeatable = !config?.increaseCount;
    const body = { reactionType, message: named(message), ...(config && { config }) };
    return this.call<result.ZIMMessageReactionAddedResult>("add_message_reaction", body, {
      isRepeatable,
    }).catch((error: unknown) => this.#reactionAfter(error, reactionType, message));
  }

  /** Deletes the user's reactions of one type. */
  async deleteMessageReaction(
    reactionType: string,
    message: ZIMMessage,
  ): Promise<result.ZIMMessageReactionDeletedResult> {
    const body = { reactionType, message: named(message) };
    return this.call<result.ZIMMessageReactionDeletedResult>("delete_message_reaction", body).catch(
      (error: unknown) => this.#reactionAfter(error, reactionType, message),
    );
  }

  /** The reaction as it is, if an earlier attempt that was not answered took effect. */
  async #reactionAfter(
    error: unknown,
    reactionType: string,
    message: ZIMMessage,
  ): Promise<result.ZIMMessageReactionAddedResult> {
    const unchanged = ZIMErrorCode.MessageModuleMessageReactionTypeExisted;
    if (!isAfterEffect(error, unchanged)) throw error;
    const present = await this.#read(message);
    const { conversationID, messageID } = named(message);
    const of = { conversationID, conversationType: ZIMConversationType.Peer, messageID };
    const none = { totalCount: 0, isSelfIncluded: false, userList: [], sumCount: 0 };
    const reaction = present?.reactions?.find((one) => one.reactionType === reactionType);
    return { reaction: reaction ?? { reactionType, ...of, ...none } };
  }

  /** Deletes all reactions of the user to a message. */
  async deleteMessageAllReactions(message: ZIMMessage): Promise<void> {
    await this.call("delete_message_all_reactions", { message: named(message) });
  }

  /** Reads the users who reacted with a type: up to 100 in a page. */
  async queryMessageReactionUserList(
    message: ZIMMessage,
    config: ZIMMessageReactionUserQueryConfig,
  ): Promise<result.ZIMMessageReactionUserListQueriedResult> {
    return this.call("query_message_reaction_user_list", { message: named(message), config });
  }

  /** Pins a message for both users (at most 10 in a conversation), or removes its pin. */
  async pinMessage(
    message: ZIMMessage,
    isPinned: boolean,
    config?: ZIMMessagePinConfig,
  ): Promise<void> {
    const body = { message: named(message), isPinned, ...(config && { config }) };
    await this.call("pin_message", body).catch((error: unknown) => {
      // An earlier attempt that was not answered has removed the pin.
      if (!isAfterEffect(error, ZIMErrorCode.MessageModuleMessageIsNotPinned)) throw error;
    });
  }

  /** Reads the pinned messages of a conversation, the last pinned first. */
  async queryPinnedMessageList(
    conversationID: string,
    conversationType: ZIMConversationType,
  ): Promise<result.ZIMPinnedMessageListQueriedResult> {
    const body = { conversationID, conversationType: peer(conversationType) };
    return this.call("query_pinned_message_list", body);
  }

  /** Reads the replies to a message: up to 100 in a page, `nextFlag` 0 on the last. */
  async queryMessageRepliedList(
    message: ZIMMessage,
    config: ZIMMessageRepliedListQueryConfig,
  ): Promise<result.ZIMMessageRepliedListQueriedResult> {
    return this.call("query_message_replied_list", { message: named(message), config });
  }
}

const emptyPage = (conversationID: string): Queried => ({
  conversationID,
  conversationType: ZIMConversationType.Peer,
  messageList: [],
});

/** Whether a refusal shows that an earlier attempt, which was not answered, took effect. */
const isAfterEffect = (error: unknown, code: ZIMErrorCode): boolean =>
  error instanceof PeerError && error.isAfterUnknownOutcome && error.code === code;

/** A page with the local messages that sort into it, after its first message. */
function merge(page: ZIMMessage[], local: ZIMMessage[], isNewest: boolean): ZIMMessage[] {
  const first = page[0]?.orderKey ?? (isNewest ? -Infinity : Infinity);
  const last = isNewest ? Infinity : (page.at(-1)?.orderKey ?? -Infinity);
  const inside = local.filter(({ orderKey = 0 }) => orderKey > first && orderKey <= last);
  if (inside.length === 0) return page;
  return [...page, ...inside].sort((a, b) => (a.orderKey ?? 0) - (b.orderKey ?? 0));
}
