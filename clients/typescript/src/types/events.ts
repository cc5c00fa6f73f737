// Bodies of events.

import type { ZIMConversationChangeInfo } from "./conversations.js";
import type {
  ZIMBlacklistChangeAction,
  ZIMConnectionEvent,
  ZIMConnectionState,
  ZIMConversationSyncState,
  ZIMConversationType,
  ZIMMessageDeleteType,
} from "./enums.js";
import type {
  ZIMMessage,
  ZIMMessagePinStatusChangeInfo,
  ZIMMessageReaction,
  ZIMMessageReactionChangeInfo,
  ZIMMessageReceiptInfo,
  ZIMMessageReceivedInfo,
  ZIMMessageRootRepliedCountInfo,
  ZIMMessageSentStatusChangeInfo,
  ZIMRevokeMessage,
} from "./messages.js";
import type { ZIMUserFullInfo, ZIMUserInfo, ZIMUserRule, ZIMUserStatus } from "./users.js";

/** Body of the event `connectionStateChanged`. */
export interface ZIMEventOfConnectionStateChangedResult {
  state: ZIMConnectionState;
  event: ZIMConnectionEvent;
  /** At most 1,024 bytes, travels with the message. */
  extendedData: string;
  /** The session that ended. */
  sessionID?: string;
}

/** Body of the event `tokenWillExpire`. */
export interface ZIMEventOfTokenWillExpireResult {
  /** Seconds until the credentials expire. */
  second: number;
}

/** Body of the event `userInfoUpdated`. */
export interface ZIMEventOfUserInfoUpdatedResult {
  info: ZIMUserFullInfo;
}

/** Body of the event `userStatusUpdated`. */
export interface ZIMEventOfUserStatusUpdatedResult {
  userStatusList: ZIMUserStatus[];
}

/** Body of the event `userRuleUpdated`. */
export interface ZIMEventOfUserRuleUpdatedResult {
  userRule: ZIMUserRule;
}

/** Body of the event `conversationChanged`. */
export interface ZIMEventOfConversationChangedResult {
  infoList: ZIMConversationChangeInfo[];
}

/** Body of the event `conversationsAllDeleted`. */
export interface ZIMEventOfConversationsAllDeletedResult {
  /** Largest number of entries. */
  count: number;
}

/** Body of the event `conversationSyncStateChanged`. */
export interface ZIMEventOfConversationSyncStateChangedResult {
  state: ZIMConversationSyncState;
}

/** Body of the event `conversationTotalUnreadMessageCountUpdated`. */
export interface ZIMEventOfConversationTotalUnreadMessageCountUpdatedResult {
  totalUnreadMessageCount: number;
  totalUnreadMessageCountIncludingMuted?: number;
}

/** Body of the event `conversationMessageReceiptChanged`. */
export interface ZIMEventOfConversationMessageReceiptChangedResult {
  infos: ZIMMessageReceiptInfo[];
}

/** Body of the event `messageReceiptChanged`. */
export interface ZIMEventOfMessageReceiptChangedResult {
  infos: ZIMMessageReceiptInfo[];
}

/** Body of the event `messageRevokeReceived`. */
export interface ZIMEventOfMessageRevokeReceivedResult {
  messageList: ZIMRevokeMessage[];
}

/** Body of the event `messageReactionsChanged`. */
export interface ZIMEventOfMessageReactionsChangedResult {
  reactions: ZIMMessageReaction[];
  changeInfoList: ZIMMessageReactionChangeInfo[];
}

/** Body of the event `messageRepliedCountChanged`. */
export interface ZIMEventOfMessageRepliedCountChangedResult {
  infos: ZIMMessageRootRepliedCountInfo[];
}

/** Body of the event `messageRepliedInfoChanged`. */
export interface ZIMEventOfMessageRepliedInfoChangedResult {
  messageList: ZIMMessage[];
}

/** Body of the event `messageDeleted`. */
export interface ZIMEventOfMessageDeletedResult {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
  isDeleteConversationAllMessage: boolean;
  messageDeleteType: ZIMMessageDeleteType;
  messageList: ZIMMessage[];
}

/** Body of the event `messageSentStatusChanged`. */
export interface ZIMEventOfMessageSentStatusChangedResult {
  infos: ZIMMessageSentStatusChangeInfo[];
}

/** Body of the event `conversationMessageReceived`. */
export interface ZIMEventOfConversationMessageReceivedResult {
  messageList: ZIMMessage[];
  fromConversationID: string;
  info: ZIMMessageReceivedInfo;
}

/** Body of the event `receiveConversationMessage`. */
export interface ZIMEventOfReceiveConversationMessageResult {
  messageList: ZIMMessage[];
  fromConversationID: string;
}

/** Body of the event `messageEdited`. */
export interface ZIMEventOfMessageEditedResult {
  messageList: ZIMMessage[];
}

/** Body of the event `messagePinStatusChanged`. */
export interface ZIMEventOfMessagePinStatusChangedResult {
  infos: ZIMMessagePinStatusChangeInfo[];
}

/** Body of the event `blacklistChanged`. */
export interface ZIMEventOfBlacklistChangedResult {
  userList: ZIMUserInfo[];
  /** The same in numbers of the SDK 3.x: Added 0, Deleted 1, Updated 2. */
  action: ZIMBlacklistChangeAction;
}
