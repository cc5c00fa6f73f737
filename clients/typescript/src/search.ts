// Which messages a local search finds.
import type { ZIMConversation } from "./types/conversations.js";
import { ZIMMessageType } from "./types/enums.js";
import type { ZIMMessage } from "./types/messages.js";

/** What a search compares. Empty lists and times of 0 compare nothing. */
export interface Filter {
  keywords?: string[];
  messageTypes?: number[];
  subMessageTypes?: number[];
  senderUserIDs?: string[];
  startTime?: number;
  endTime?: number;
}

interface Searched extends ZIMMessage {
  message?: unknown;
  searchedContent?: string;
  subType?: number;
  fileName?: string;
  title?: string;
  summary?: string;
}

/** The text of a message that keywords are compared with. That of Custom is `searchedContent`. */
function textOf(message: Searched): string {
  switch (message.type) {
    case ZIMMessageType.Text:
      return String(message.message ?? "");
    case ZIMMessageType.Custom:
      return message.searchedContent ?? "";
    case ZIMMessageType.Combine:
      return `${message.title ?? ""}\n${message.summary ?? ""}`;
    default:
      return message.fileName ?? "";
  }
}

const containsAll = (text: string, keywords: string[] = []): boolean => {
  const lower = text.toLowerCase();
  return keywords.every((keyword) => lower.includes(keyword.toLowerCase()));
};

const isIn = <T>(value: T, list: T[] | undefined): boolean => !list?.length || list.includes(value);

/** Whether a search finds a message. */
export function matches(message: Searched, filter: Filter): boolean {
  const { timestamp = 0, senderUserID = "", subType = 0 } = message;
  const isOfSubType =
    message.type !== ZIMMessageType.Custom || isIn(subType, filter.subMessageTypes);
  return (
    message.type !== ZIMMessageType.Revoke &&
    isIn<number>(message.type, filter.messageTypes) &&
    isOfSubType &&
    isIn(senderUserID, filter.senderUserIDs) &&
    timestamp >= (filter.startTime ?? 0) &&
    timestamp <= (filter.endTime || Infinity) &&
    containsAll(textOf(message), filter.keywords)
  );
}

/** Whether a search by name finds a conversation. */
export const matchesName = (conversation: ZIMConversation, keywords: string[]): boolean =>
  containsAll(conversation.conversationName, keywords);
