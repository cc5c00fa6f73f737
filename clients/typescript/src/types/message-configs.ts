// Configurations of calls about messages.

import type {
  ZIMCXHandleType,
  ZIMMessageOrder,
  ZIMMessagePriority,
  ZIMMessageQueryMode,
  ZIMMessageType,
} from "./enums.js";
import type { ZIMMediaMessage, ZIMMessage, ZIMMultipleMessage } from "./messages.js";

/** Offline push private message template. */
export interface ZIMOfflinePushPrivateMessageTemplate {
  templateID: string;
  titleParameters: string;
  contentParameters: string;
}

/** Vo ipconfig. */
export interface ZIMVoIPConfig {
  iOSVoIPHandleType: ZIMCXHandleType;
  iOSVoIPHandleValue: string;
  iOSVoIPHasVideo: boolean;
}

/** Push config. */
export interface ZIMPushConfig {
  title?: string;
  content?: string;
  payload?: string;
  resourcesID?: string;
  threadID?: string;
  enableBadge?: boolean;
  badgeIncrement?: number;
  voIPConfig?: ZIMVoIPConfig;
  privateMessageTemplate?: ZIMOfflinePushPrivateMessageTemplate;
}

/** Message reaction add config. */
export interface ZIMMessageReactionAddConfig {
  /** How often to react; 0: once, if not yet. */
  increaseCount?: number;
}

/** Message send config. */
export interface ZIMMessageSendConfig {
  pushConfig?: ZIMPushConfig;
  /** Checked, without effect so far. */
  priority?: ZIMMessagePriority;
  /** Requests a read receipt. */
  hasReceipt?: boolean;
  /** Without effect. */
  isNotifyMentionedUsers?: boolean;
  /** Searches up to 24 hours back for the first attempt. */
  isRetrySend?: boolean;
  /** Does not count as unread. */
  disableUnreadMessageCount?: boolean;
  isAllowMultipleMessagePartialFailed?: boolean;
}

/** Message query config. */
export interface ZIMMessageQueryConfig {
  /** The page begins before (`reverse`) or after it. */
  nextMessage?: ZIMMessage;
  /** Largest number of entries. */
  count: number;
  /** true: from the newest towards older. */
  reverse?: boolean;
  mode?: ZIMMessageQueryMode;
}

/** Message revoke config. */
export interface ZIMMessageRevokeConfig {
  pushConfig?: ZIMPushConfig;
  /** At most 200 bytes. */
  revokeExtendedData?: string;
}

/** Message delete config. */
export interface ZIMMessageDeleteConfig {
  /** Without effect: the copy in peerd is always deleted. */
  isAlsoDeleteServerMessage?: boolean;
}

/** Message send notification. */
export interface ZIMMessageSendNotification {
  onMessageAttached?: (message: ZIMMessage) => void;
  onMediaUploadingProgress?: (
    message: ZIMMediaMessage,
    currentFileSize: number,
    totalFileSize: number,
  ) => void;
  onMultipleMediaUploadingProgress?: (
    message: ZIMMultipleMessage,
    currentFileSize: number,
    totalFileSize: number,
    messageInfoIndex: number,
    currentIndexFileSize: number,
    totalIndexFileSize: number,
  ) => void;
}

/** Media message send notification. */
export interface ZIMMediaMessageSendNotification {
  onMessageAttached?: (message: ZIMMessage) => void;
  onMediaUploadingProgress?: (
    message: ZIMMediaMessage,
    currentFileSize: number,
    totalFileSize: number,
  ) => void;
}

/** Message reaction user query config. */
export interface ZIMMessageReactionUserQueryConfig {
  /** 0 for the first page; 0 in a result: the last page. */
  nextFlag?: number;
  /** Largest number of entries. */
  count: number;
  /** 1–32 bytes, for example an emoji. */
  reactionType: string;
}

/** Message search config. */
export interface ZIMMessageSearchConfig {
  /** The page begins before (`reverse`) or after it. */
  nextMessage?: ZIMMessage;
  /** Largest number of entries. */
  count: number;
  order: ZIMMessageOrder;
  /** At most 5; all must occur. */
  keywords: string[];
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

/** Message replied list query config. */
export interface ZIMMessageRepliedListQueryConfig {
  /** 0 for the first page; 0 in a result: the last page. */
  nextFlag?: number;
  /** Largest number of entries. */
  count: number;
}

/** Message edit config. */
export type ZIMMessageEditConfig = Record<never, never>;

/** Sending message cancel config. */
export type ZIMSendingMessageCancelConfig = Record<never, never>;

/** Message pin config. */
export interface ZIMMessagePinConfig {
  /** Refuses an eleventh pin (6000287) instead of replacing the oldest. */
  disableAutoReplace?: boolean;
}
