// Results of calls.

import type {
  ZIMConversation,
  ZIMConversationBaseInfo,
  ZIMConversationSearchInfo,
} from "./conversations.js";
import type { ZIMConversationType } from "./enums.js";
import type {
  ZIMCombineMessage,
  ZIMMessage,
  ZIMMessageReaction,
  ZIMMessageReactionUserFullInfo,
  ZIMMessageReactionUserInfo,
  ZIMMessageReceiptInfo,
  ZIMMessageRootRepliedInfo,
} from "./messages.js";
import type {
  ZIMErrorUserInfo,
  ZIMSelfUserInfo,
  ZIMUserFullInfo,
  ZIMUserInfo,
  ZIMUserStatus,
  ZIMUserStatusSubscription,
} from "./users.js";

/** Result: token renewed. */
export interface ZIMTokenRenewedResult {
  /** See `credentials` in the README. */
  token: string;
}

/** Result: user name updated. */
export interface ZIMUserNameUpdatedResult {
  /** At most 256 bytes. */
  userName: string;
}

/** Result: user avatar url updated. */
export interface ZIMUserAvatarUrlUpdatedResult {
  /** At most 500 bytes. */
  userAvatarUrl: string;
}

/** Result: user extended data updated. */
export interface ZIMUserExtendedDataUpdatedResult {
  /** At most 1,024 bytes, travels with the message. */
  extendedData: string;
}

/** Result: user custom status updated. */
export interface ZIMUserCustomStatusUpdatedResult {
  /** At most 64 bytes. */
  customStatus: string;
}

/** Result: users info queried. */
export interface ZIMUsersInfoQueriedResult {
  userList: ZIMUserFullInfo[];
  errorUserList: ZIMErrorUserInfo[];
}

/** Result: self user info queried. */
export interface ZIMSelfUserInfoQueriedResult {
  selfUserInfo: ZIMSelfUserInfo;
}

/** Result: users status queried. */
export interface ZIMUsersStatusQueriedResult {
  userStatusList: ZIMUserStatus[];
  errorUserList: ZIMErrorUserInfo[];
}

/** Result: users status subscribed. */
export interface ZIMUsersStatusSubscribedResult {
  errorUserList: ZIMErrorUserInfo[];
}

/** Result: users status unsubscribed. */
export interface ZIMUsersStatusUnsubscribedResult {
  errorUserList: ZIMErrorUserInfo[];
}

/** Result: subscribed user status list queried. */
export interface ZIMSubscribedUserStatusListQueriedResult {
  userStatusSubscriptionList: ZIMUserStatusSubscription[];
}

/** Result: conversation queried. */
export interface ZIMConversationQueriedResult {
  conversation: ZIMConversation;
}

/** Result: conversation list queried. */
export interface ZIMConversationListQueriedResult {
  conversationList: ZIMConversation[];
}

/** Result: conversation total unread message count queried. */
export interface ZIMConversationTotalUnreadMessageCountQueriedResult {
  /** Messages of the other user that are neither read nor deleted. */
  unreadMessageCount: number;
  unreadMessageCountIncludingMuted?: number;
  /** Revision of the user's conversations. */
  revision?: number;
}

/** Result: conversation deleted. */
export interface ZIMConversationDeletedResult {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
}

/** Result: conversation unread message count cleared. */
export interface ZIMConversationUnreadMessageCountClearedResult {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
}

/** Result: conversation notification status set. */
export interface ZIMConversationNotificationStatusSetResult {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
}

/** Result: conversation message receipt read sent. */
export interface ZIMConversationMessageReceiptReadSentResult {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
}

/** Result: conversation pinned state updated. */
export interface ZIMConversationPinnedStateUpdatedResult {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
}

/** Result: conversation pinned list queried. */
export interface ZIMConversationPinnedListQueriedResult {
  conversationList: ZIMConversation[];
}

/** Result: conversation draft set. */
export interface ZIMConversationDraftSetResult {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
}

/** Result: conversation mark set. */
export interface ZIMConversationMarkSetResult {
  failedConversationInfos: ZIMConversationBaseInfo[];
}

/** Result: conversations searched. */
export interface ZIMConversationsSearchedResult {
  conversationSearchInfoList: ZIMConversationSearchInfo[];
  /** 0 for the first page; 0 in a result: the last page. */
  nextFlag: number;
}

/** Result: message sent. */
export interface ZIMMessageSentResult {
  message: ZIMMessage;
}

/** Result: message queried. */
export interface ZIMMessageQueriedResult {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
  messageList: ZIMMessage[];
}

/** Result: message deleted. */
export interface ZIMMessageDeletedResult {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
}

/** Result: message revoked. */
export interface ZIMMessageRevokedResult {
  message: ZIMMessage;
}

/** Result: message inserted. */
export interface ZIMMessageInsertedResult {
  message: ZIMMessage;
}

/** Result: message local extended data updated. */
export interface ZIMMessageLocalExtendedDataUpdatedResult {
  message: ZIMMessage;
}

/** Result: message receipts read sent. */
export interface ZIMMessageReceiptsReadSentResult {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
  errorMessageIDs: string[];
}

/** Result: message receipts info queried. */
export interface ZIMMessageReceiptsInfoQueriedResult {
  infos: ZIMMessageReceiptInfo[];
  errorMessageIDs: string[];
}

/** Result: messages searched. */
export interface ZIMMessagesSearchedResult {
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
  messageList: ZIMMessage[];
  /** The page begins before (`reverse`) or after it. */
  nextMessage?: ZIMMessage;
}

/** Result: messages global searched. */
export interface ZIMMessagesGlobalSearchedResult {
  messageList: ZIMMessage[];
  /** The page begins before (`reverse`) or after it. */
  nextMessage?: ZIMMessage;
}

/** Result: message reaction added. */
export interface ZIMMessageReactionAddedResult {
  reaction: ZIMMessageReaction;
}

/** Result: message reaction deleted. */
export interface ZIMMessageReactionDeletedResult {
  reaction: ZIMMessageReaction;
}

/** Result: message reaction user list queried. */
export interface ZIMMessageReactionUserListQueriedResult {
  message: ZIMMessage;
  userInfoList: ZIMMessageReactionUserFullInfo[];
  /** 1–32 bytes, for example an emoji. */
  reactionType: string;
  /** 0 for the first page; 0 in a result: the last page. */
  nextFlag: number;
  /** Number of users. */
  totalCount: number;
  userList: ZIMMessageReactionUserInfo[];
}

/** Result: combine message detail queried. */
export interface ZIMCombineMessageDetailQueriedResult {
  message: ZIMCombineMessage;
}

/** Result: message replied list queried. */
export interface ZIMMessageRepliedListQueriedResult {
  messageList: ZIMMessage[];
  /** 0 for the first page; 0 in a result: the last page. */
  nextFlag: number;
  rootRepliedInfo: ZIMMessageRootRepliedInfo;
}

/** Result: message edited. */
export interface ZIMMessageEditedResult {
  message: ZIMMessage;
}

/** Result: pinned message list queried. */
export interface ZIMPinnedMessageListQueriedResult {
  messageList: ZIMMessage[];
}

/** Result: blacklist users added. */
export interface ZIMBlacklistUsersAddedResult {
  errorUserList: ZIMErrorUserInfo[];
}

/** Result: blacklist users removed. */
export interface ZIMBlacklistUsersRemovedResult {
  errorUserList: ZIMErrorUserInfo[];
}

/** Result: blacklist queried. */
export interface ZIMBlacklistQueriedResult {
  blacklist: ZIMUserInfo[];
  /** 0 for the first page; 0 in a result: the last page. */
  nextFlag: number;
}

/** Result: blacklist checked. */
export interface ZIMBlacklistCheckedResult {
  isUserInBlacklist: boolean;
}
