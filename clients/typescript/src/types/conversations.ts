// Conversations, and the configurations of calls about them.

import type {
  ZIMConversationEvent,
  ZIMConversationNotificationStatus,
  ZIMConversationPinnedFilter,
  ZIMConversationSearchMode,
  ZIMConversationType,
  ZIMMessageType,
} from "./enums.js";
import type { ZIMMessage, ZIMMessageMentionedInfo } from "./messages.js";

/** Conversation. */
export interface ZIMConversation {
  /** The other user's ID. */
  conversationID: string;
  type: ZIMConversationType;
  conversationName: string;
  conversationAvatarUrl: string;
  /** Always `""`. */
  conversationAlias: string;
  notificationStatus: ZIMConversationNotificationStatus;
  /** Messages of the other user that are neither read nor deleted. */
  unreadMessageCount: number;
  /** `messageSeq` of the other user up to which this user has read. */
  readMessageSeq: number;
  lastMessage?: ZIMMessage;
  /** Sorts: larger is later. */
  orderKey: number;
  isPinned: boolean;
  /** ms since 1970; 0: not pinned. */
  pinnedTime: number;
  /** Always empty. */
  mentionedInfoList: ZIMMessageMentionedInfo[];
  /** At most 4,096 bytes. */
  draft: string;
  /** Numbers 1–20, ascending. */
  marks: number[];
  /** Marked as unread by the user. */
  isMarkedUnread?: boolean;
}

/** Conversation base info. */
export interface ZIMConversationBaseInfo {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
}

/** Conversation query config. */
export interface ZIMConversationQueryConfig {
  /** The last conversation of the page before, whole. */
  nextConversation?: ZIMConversation;
  /** Largest number of entries. */
  count: number;
}

/** Conversation filter option. */
export interface ZIMConversationFilterOption {
  conversationTypes?: ZIMConversationType[];
  /** Numbers 1–20, ascending. */
  marks?: number[];
  isOnlyUnreadConversation?: boolean;
  pinnedFilter?: ZIMConversationPinnedFilter;
}

/** Conversation total unread message count query config. */
export interface ZIMConversationTotalUnreadMessageCountQueryConfig {
  conversationTypes?: ZIMConversationType[];
  /** Numbers 1–20, ascending. */
  marks?: number[];
}

/** Conversation delete config. */
export interface ZIMConversationDeleteConfig {
  /** Without effect: the conversation in peerd is always deleted. */
  isAlsoDeleteServerConversation?: boolean;
}

/** Conversation change info. */
export interface ZIMConversationChangeInfo {
  event: ZIMConversationEvent;
  conversation: ZIMConversation;
  /** The same in numbers of the SDK 3.x: Added 0, Deleted 1, Updated 2. */
  action?: number;
}

/** Conversation search config. */
export interface ZIMConversationSearchConfig {
  mode: ZIMConversationSearchMode;
  /** 0 for the first page; 0 in a result: the last page. */
  nextFlag?: number;
  totalConversationCount: number;
  /** At most 5; all must occur. */
  keywords: string[];
  conversationMessageCount: number;
  /** Empty: any. */
  messageTypes: ZIMMessageType[];
  /** Empty: any. */
  subMessageTypes: number[];
  /** Empty: any. */
  senderUserIDs: string[];
  /** ms since 1970. */
  startTime: number;
  /** ms since 1970; 0: no limit. */
  endTime: number;
}

/** Conversation search info. */
export interface ZIMConversationSearchInfo {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
  conversation: ZIMConversation;
  totalMessageCount: number;
  messageList: ZIMMessage[];
}
