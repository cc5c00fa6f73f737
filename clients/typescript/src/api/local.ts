// What is done on this device, without peerd: searches, insertions, local data.
import { invalid } from "../errors.js";
import { randomID } from "../random.js";
import type { ZIMConversationSearchConfig } from "../types/conversations.js";
import {
  ZIMConversationSearchMode,
  ZIMConversationType,
  ZIMMessageDirection,
  ZIMMessageOrder,
  ZIMMessageSentStatus,
} from "../types/enums.js";
import type { ZIMMessageSearchConfig } from "../types/message-configs.js";
import type { ZIMMessage } from "../types/messages.js";
import type * as result from "../types/results.js";
import type { Filter } from "../search.js";
import { matches, matchesName } from "../search.js";
import { peer } from "./base.js";
import { Sending } from "./sending.js";

/** Most bytes of the local data of a message. */
const LOCAL_DATA_MAX_BYTES = 128 * 1024;

export abstract class Local extends Sending {
  /**
   * Searches the messages of a conversation that this client has in memory: those that it received,
   * sent, read or inserted, up to 500.
   */
  async searchLocalMessages(
    conversationID: string,
    conversationType: ZIMConversationType,
    config: ZIMMessageSearchConfig,
  ): Promise<result.ZIMMessagesSearchedResult> {
    void this.running;
    const found = this.store.peek(conversationID)?.messages ?? [];
    const page = pageOf(
      found.filter((message) => matches(message, config)),
      config,
    );
    return { conversationID, conversationType: peer(conversationType), ...page };
  }

  /** Searches the messages of all conversations that this client has in memory. */
  async searchGlobalLocalMessages(
    config: ZIMMessageSearchConfig,
  ): Promise<result.ZIMMessagesGlobalSearchedResult> {
    void this.running;
    const all = this.store.all.flatMap((known) => known.messages);
    return pageOf(
      all.filter((message) => matches(message, config)),
      config,
    );
  }

  /** Searches conversations in memory, by their messages or by their names. */
  async searchLocalConversations(
    config: ZIMConversationSearchConfig,
  ): Promise<result.ZIMConversationsSearchedResult> {
    void this.running;
    const { nextFlag = 0, totalConversationCount, conversationMessageCount } = config;
    const byName = config.mode === ZIMConversationSearchMode.MatchConversationName;
    const found = this.store.all.flatMap(({ conversation, conversationID, messages }) => {
      if (!conversation) return [];
      const list = byName ? [] : newestFirst(messages.filter((one) => matches(one, config)));
      const isFound = byName ? matchesName(conversation, config.keywords) : list.length > 0;
      if (!isFound) return [];
      const info = {
        conversationID,
        conversationType: ZIMConversationType.Peer,
        conversation,
        totalMessageCount: list.length,
        messageList: list.slice(0, conversationMessageCount),
      };
      return [info];
    });
    found.sort((a, b) => b.conversation.orderKey - a.conversation.orderKey);
    const end = nextFlag + totalConversationCount;
    const conversationSearchInfoList = found.slice(nextFlag, end);
    return { conversationSearchInfoList, nextFlag: end < found.length ? end : 0 };
  }

  /** Puts a message into the memory of this client. Histories and searches here show it. */
  async insertMessageToLocalDB(
    message: ZIMMessage,
    conversationID: string,
    conversationType: ZIMConversationType,
    senderUserID: string,
  ): Promise<result.ZIMMessageInsertedResult> {
    const { session } = this.running;
    const known = this.store.of(conversationID);
    Object.assign(message, {
      localMessageID: randomID(),
      messageID: "",
      senderUserID,
      conversationID,
      conversationType: peer(conversationType),
      direction:
        senderUserID === session.userID ? ZIMMessageDirection.Send : ZIMMessageDirection.Receive,
      sentStatus: ZIMMessageSentStatus.Success,
      timestamp: Date.now(),
      orderKey: known.newestKey + 1,
      isUserInserted: true,
    });
    known.keep(message);
    return { message };
  }

  /** Keeps data beside a message, in the memory of this client: at most 128 KiB. */
  async updateMessageLocalExtendedData(
    localExtendedData: string,
    message: ZIMMessage,
  ): Promise<result.ZIMMessageLocalExtendedDataUpdatedResult> {
    void this.running;
    if (new TextEncoder().encode(localExtendedData).length > LOCAL_DATA_MAX_BYTES) {
      throw invalid("localExtendedData has more than 128 KiB");
    }
    message.localExtendedData = localExtendedData;
    this.store.keep(message);
    return { message };
  }
}

const newestFirst = (messages: ZIMMessage[]): ZIMMessage[] =>
  [...messages].sort((a, b) => (b.orderKey ?? 0) - (a.orderKey ?? 0));

interface Page {
  messageList: ZIMMessage[];
  nextMessage?: ZIMMessage;
}

/** A page in the order of the search, after `nextMessage`. */
function pageOf(found: ZIMMessage[], config: Filter & ZIMMessageSearchConfig): Page {
  const newest = newestFirst(found);
  const isAscending = config.order === ZIMMessageOrder.Ascending;
  const ordered = isAscending ? newest.reverse() : newest;
  const { nextMessage, count } = config;
  const at = ordered.findIndex(
    (one) =>
      nextMessage &&
      one.localMessageID === nextMessage.localMessageID &&
      one.messageID === nextMessage.messageID,
  );
  const messageList = ordered.slice(at + 1, at + 1 + count);
  const last = messageList.at(-1);
  const isMore = last !== undefined && last !== ordered.at(-1);
  return { messageList, ...(isMore && { nextMessage: last }) };
}
