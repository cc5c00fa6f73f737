// The enumerations, with the names and numbers of the SDK.

/** What happened to the users of `blacklistChanged`. */
export const ZIMBlacklistChangeAction = {
  Added: 0,
  Removed: 1,
} as const;
/** What happened to the users of `blacklistChanged`. */
export type ZIMBlacklistChangeAction =
  (typeof ZIMBlacklistChangeAction)[keyof typeof ZIMBlacklistChangeAction];

/** Why the connection state changed. */
export const ZIMConnectionEvent = {
  Success: 0,
  ActiveLogin: 1,
  LoginTimeout: 2,
  LoginInterrupted: 3,
  KickedOut: 4,
  TokenExpired: 5,
  Unregistered: 6,
} as const;
/** Why the connection state changed. */
export type ZIMConnectionEvent = (typeof ZIMConnectionEvent)[keyof typeof ZIMConnectionEvent];

/** State of the connection and session. */
export const ZIMConnectionState = {
  Disconnected: 0,
  Connecting: 1,
  Connected: 2,
  Reconnecting: 3,
} as const;
/** State of the connection and session. */
export type ZIMConnectionState = (typeof ZIMConnectionState)[keyof typeof ZIMConnectionState];

/** What happened to a conversation (numbers of the SDK 2.x). */
export const ZIMConversationEvent = {
  Added: 0,
  Updated: 1,
  Disabled: 2,
  Deleted: 3,
} as const;
/** What happened to a conversation (numbers of the SDK 2.x). */
export type ZIMConversationEvent = (typeof ZIMConversationEvent)[keyof typeof ZIMConversationEvent];

/** Whether a conversation notifies its user. */
export const ZIMConversationNotificationStatus = {
  Notify: 1,
  DoNotDisturb: 2,
} as const;
/** Whether a conversation notifies its user. */
export type ZIMConversationNotificationStatus =
  (typeof ZIMConversationNotificationStatus)[keyof typeof ZIMConversationNotificationStatus];

/** Which conversations a list has. */
export const ZIMConversationPinnedFilter = {
  All: 0,
  OnlyPinned: 1,
  OnlyUnpinned: 2,
} as const;
/** Which conversations a list has. */
export type ZIMConversationPinnedFilter =
  (typeof ZIMConversationPinnedFilter)[keyof typeof ZIMConversationPinnedFilter];

/** What a local search of conversations compares. */
export const ZIMConversationSearchMode = {
  MatchMessage: 0,
  MatchConversationName: 1,
} as const;
/** What a local search of conversations compares. */
export type ZIMConversationSearchMode =
  (typeof ZIMConversationSearchMode)[keyof typeof ZIMConversationSearchMode];

/** State of the client's own catching up. */
export const ZIMConversationSyncState = {
  Started: 0,
  Finished: 1,
  Failed: 2,
} as const;
/** State of the client's own catching up. */
export type ZIMConversationSyncState =
  (typeof ZIMConversationSyncState)[keyof typeof ZIMConversationSyncState];

/** Kind of a conversation. peerd has Peer only. */
export const ZIMConversationType = {
  Unknown: -1,
  Peer: 0,
  Room: 1,
  Group: 2,
  CommunityChannel: 3,
} as const;
/** Kind of a conversation. peerd has Peer only. */
export type ZIMConversationType = (typeof ZIMConversationType)[keyof typeof ZIMConversationType];

/** Kind of the handle of a VoIP push. Checked only. */
export const ZIMCXHandleType = {
  Generic: 1,
  PhoneNumber: 2,
  EmailAddress: 3,
} as const;
/** Kind of the handle of a VoIP push. Checked only. */
export type ZIMCXHandleType = (typeof ZIMCXHandleType)[keyof typeof ZIMCXHandleType];

/** Accepted by `setGeofencingConfig`, without effect. */
export const ZIMGeofencingType = {
  None: 0,
  Include: 1,
  Exclude: 2,
} as const;
/** Accepted by `setGeofencingConfig`, without effect. */
export type ZIMGeofencingType = (typeof ZIMGeofencingType)[keyof typeof ZIMGeofencingType];

/** Part of a media message. */
export const ZIMMediaFileType = {
  OriginalFile: 1,
  LargeImage: 2,
  Thumbnail: 3,
  VideoFirstFrame: 4,
} as const;
/** Part of a media message. */
export type ZIMMediaFileType = (typeof ZIMMediaFileType)[keyof typeof ZIMMediaFileType];

/** What `messageDeleted` reports. */
export const ZIMMessageDeleteType = {
  MessageListDeleted: 0,
  ConversationAllMessagesDeleted: 1,
  AllConversationMessagesDeleted: 2,
} as const;
/** What `messageDeleted` reports. */
export type ZIMMessageDeleteType = (typeof ZIMMessageDeleteType)[keyof typeof ZIMMessageDeleteType];

/** Direction of a message, from the view of this user. */
export const ZIMMessageDirection = {
  Send: 0,
  Receive: 1,
} as const;
/** Direction of a message, from the view of this user. */
export type ZIMMessageDirection = (typeof ZIMMessageDirection)[keyof typeof ZIMMessageDirection];

/** Kind of a mention. peerd has none. */
export const ZIMMessageMentionedType = {
  Unknown: 0,
  MentionMe: 1,
  MentionAll: 2,
  MentionAllAndMe: 3,
} as const;
/** Kind of a mention. peerd has none. */
export type ZIMMessageMentionedType =
  (typeof ZIMMessageMentionedType)[keyof typeof ZIMMessageMentionedType];

/** Order of a local search. */
export const ZIMMessageOrder = {
  Descending: 0,
  Ascending: 1,
} as const;
/** Order of a local search. */
export type ZIMMessageOrder = (typeof ZIMMessageOrder)[keyof typeof ZIMMessageOrder];

/** What happened to the pin of a message. */
export const ZIMMessagePinStatus = {
  NotPinned: 0,
  Pinned: 1,
  Updated: 2,
} as const;
/** What happened to the pin of a message. */
export type ZIMMessagePinStatus = (typeof ZIMMessagePinStatus)[keyof typeof ZIMMessagePinStatus];

/** Priority of a message. Checked by peerd, without effect so far. */
export const ZIMMessagePriority = {
  Low: 1,
  Medium: 2,
  High: 3,
} as const;
/** Priority of a message. Checked by peerd, without effect so far. */
export type ZIMMessagePriority = (typeof ZIMMessagePriority)[keyof typeof ZIMMessagePriority];

/** Source of a history page. OnlyLocal reads this client's memory; all others ask peerd. */
export const ZIMMessageQueryMode = {
  General: 0,
  PreferServer: 1,
  OnlyLocal: 2,
} as const;
/** Source of a history page. OnlyLocal reads this client's memory; all others ask peerd. */
export type ZIMMessageQueryMode = (typeof ZIMMessageQueryMode)[keyof typeof ZIMMessageQueryMode];

/** Whether a user added or deleted a reaction. */
export const ZIMMessageReactionUserChangeAction = {
  Added: 0,
  Deleted: 1,
} as const;
/** Whether a user added or deleted a reaction. */
export type ZIMMessageReactionUserChangeAction =
  (typeof ZIMMessageReactionUserChangeAction)[keyof typeof ZIMMessageReactionUserChangeAction];

/** Status of a read receipt. */
export const ZIMMessageReceiptStatus = {
  Unknown: -1,
  None: 0,
  Processing: 1,
  Done: 2,
  Expired: 3,
  Failed: 4,
} as const;
/** Status of a read receipt. */
export type ZIMMessageReceiptStatus =
  (typeof ZIMMessageReceiptStatus)[keyof typeof ZIMMessageReceiptStatus];

/** State of the original of a reply. */
export const ZIMMessageRepliedInfoState = {
  Normal: 0,
  Deleted: 1,
  NotFound: 2,
} as const;
/** State of the original of a reply. */
export type ZIMMessageRepliedInfoState =
  (typeof ZIMMessageRepliedInfoState)[keyof typeof ZIMMessageRepliedInfoState];

/** Who revoked a message. In peerd always its sender. */
export const ZIMMessageRevokeStatus = {
  Unknown: -1,
  SelfRevoke: 0,
  SystemRevoke: 1,
  ServerAPIRevoke: 2,
  GroupAdminRevoke: 3,
  GroupOwnerRevoke: 4,
  AuditRejectRevoke: 5,
} as const;
/** Who revoked a message. In peerd always its sender. */
export type ZIMMessageRevokeStatus =
  (typeof ZIMMessageRevokeStatus)[keyof typeof ZIMMessageRevokeStatus];

/** Status of a sent message. */
export const ZIMMessageSentStatus = {
  Sending: 0,
  Success: 1,
  Failed: 2,
} as const;
/** Status of a sent message. */
export type ZIMMessageSentStatus = (typeof ZIMMessageSentStatus)[keyof typeof ZIMMessageSentStatus];

/** Kind of a message. */
export const ZIMMessageType = {
  Unknown: 0,
  Text: 1,
  Command: 2,
  Multiple: 10,
  Image: 11,
  File: 12,
  Audio: 13,
  Video: 14,
  Barrage: 20,
  System: 30,
  Revoke: 31,
  Tips: 32,
  Combine: 100,
  Custom: 200,
} as const;
/** Kind of a message. */
export type ZIMMessageType = (typeof ZIMMessageType)[keyof typeof ZIMMessageType];

/** Platform of a session. */
export const ZIMPlatformType = {
  Win: 1,
  IPhoneOS: 2,
  Android: 3,
  MacOS: 4,
  Linux: 5,
  Web: 6,
  MiniProgram: 7,
  IPadOS: 9,
  OHOS: 10,
  Unknown: 32,
} as const;
/** Platform of a session. */
export type ZIMPlatformType = (typeof ZIMPlatformType)[keyof typeof ZIMPlatformType];

/** For whom a message was revoked. In peerd always for both users. */
export const ZIMRevokeType = {
  Unknown: -1,
  TwoWay: 0,
  OneWay: 1,
} as const;
/** For whom a message was revoked. In peerd always for both users. */
export type ZIMRevokeType = (typeof ZIMRevokeType)[keyof typeof ZIMRevokeType];

/** Whether a user is online. */
export const ZIMUserOnlineStatus = {
  Online: 0,
  Offline: 1,
  Logout: 2,
  Unknown: 99,
} as const;
/** Whether a user is online. */
export type ZIMUserOnlineStatus = (typeof ZIMUserOnlineStatus)[keyof typeof ZIMUserOnlineStatus];

/** The members of {@link ZIMMessageType} as types. */
export declare namespace ZIMMessageType {
  type Unknown = 0;
  type Text = 1;
  type Command = 2;
  type Multiple = 10;
  type Image = 11;
  type File = 12;
  type Audio = 13;
  type Video = 14;
  type Barrage = 20;
  type System = 30;
  type Revoke = 31;
  type Tips = 32;
  type Combine = 100;
  type Custom = 200;
}
