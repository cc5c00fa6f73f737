// Messages, and what belongs to them.

import type {
  ZIMConversationType,
  ZIMMessageDirection,
  ZIMMessageMentionedType,
  ZIMMessagePinStatus,
  ZIMMessageReactionUserChangeAction,
  ZIMMessageReceiptStatus,
  ZIMMessageRepliedInfoState,
  ZIMMessageRevokeStatus,
  ZIMMessageSentStatus,
  ZIMMessageType,
  ZIMRevokeType,
} from "./enums.js";

/** Message reaction user info. */
export interface ZIMMessageReactionUserInfo {
  /** 1–64 bytes of ASCII. */
  userID: string;
}

/** Message reaction. */
export interface ZIMMessageReaction {
  /** 1–32 bytes, for example an emoji. */
  reactionType: string;
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
  /** Unique over the whole system, decimal digits. */
  messageID: string;
  /** Number of users. */
  totalCount: number;
  isSelfIncluded: boolean;
  userList: ZIMMessageReactionUserInfo[];
  /** How often they reacted. */
  sumCount: number;
}

/** Message reaction simple info. */
export interface ZIMMessageReactionSimpleInfo {
  /** 1–32 bytes, for example an emoji. */
  reactionType: string;
  /** How often they reacted. */
  sumCount: number;
}

/** Message reaction user full info. */
export interface ZIMMessageReactionUserFullInfo {
  /** 1–64 bytes of ASCII. */
  userID: string;
  reactions: ZIMMessageReactionSimpleInfo[];
}

/** Message reaction user change info. */
export interface ZIMMessageReactionUserChangeInfo {
  /** 1–64 bytes of ASCII. */
  userID: string;
  /** 1–32 bytes, for example an emoji. */
  reactionType: string;
  /** The same in numbers of the SDK 3.x: Added 0, Deleted 1, Updated 2. */
  action: ZIMMessageReactionUserChangeAction;
  /** How often they reacted. */
  sumCount: number;
}

/** Message reaction change info. */
export interface ZIMMessageReactionChangeInfo {
  message: ZIMMessage;
  userChangeInfoList: ZIMMessageReactionUserChangeInfo[];
}

/** Message lite info. */
export interface ZIMMessageLiteInfo {
  type: ZIMMessageType;
}

/** Text message lite info. */
export interface ZIMTextMessageLiteInfo extends ZIMMessageLiteInfo {
  message: string;
  type: ZIMMessageType.Text;
}

/** Custom message lite info. */
export interface ZIMCustomMessageLiteInfo extends ZIMMessageLiteInfo {
  message: string;
  searchedContent: string;
  subType: number;
  type: ZIMMessageType.Custom;
}

/** Combine message lite info. */
export interface ZIMCombineMessageLiteInfo extends ZIMMessageLiteInfo {
  title: string;
  summary: string;
  type: ZIMMessageType.Combine;
}

/** Revoke message lite info. */
export interface ZIMRevokeMessageLiteInfo extends ZIMMessageLiteInfo {
  type: ZIMMessageType.Revoke;
}

/** Media message lite info. */
export interface ZIMMediaMessageLiteInfo extends ZIMMessageLiteInfo {
  /** Bytes. */
  fileSize?: number;
  /** At most 2 KB together with the URLs. */
  fileName?: string;
  /** Uploaded by the `upload` option before the send. */
  fileLocalPath?: File;
  /** Passed through by peerd, which stores no media. */
  fileDownloadUrl?: string;
  fileUID?: string;
}

/** Image message lite info. */
export interface ZIMImageMessageLiteInfo extends ZIMMediaMessageLiteInfo {
  /** Pixels. */
  originalImageWidth?: number;
  /** Pixels. */
  originalImageHeight?: number;
  /** Pixels. */
  largeImageWidth?: number;
  /** Pixels. */
  largeImageHeight?: number;
  largeImageDownloadUrl?: string;
  /** Pixels. */
  thumbnailWidth?: number;
  /** Pixels. */
  thumbnailHeight?: number;
  thumbnailDownloadUrl?: string;
  type: ZIMMessageType.Image;
}

/** File message lite info. */
export interface ZIMFileMessageLiteInfo extends ZIMMediaMessageLiteInfo {
  type: ZIMMessageType.File;
}

/** Audio message lite info. */
export interface ZIMAudioMessageLiteInfo extends ZIMMediaMessageLiteInfo {
  /** Seconds. */
  audioDuration: number;
  type: ZIMMessageType.Audio;
}

/** Video message lite info. */
export interface ZIMVideoMessageLiteInfo extends ZIMMediaMessageLiteInfo {
  /** Seconds. */
  videoDuration: number;
  /** Pixels. */
  videoFirstFrameWidth: number;
  /** Pixels. */
  videoFirstFrameHeight?: number;
  videoFirstFrameDownloadUrl?: string;
  type: ZIMMessageType.Video;
}

/** Multiple message lite info. */
export interface ZIMMultipleMessageLiteInfo extends ZIMMessageLiteInfo {
  /** 1–20 items. */
  messageInfoList: ZIMMessageLiteInfo[];
  type: ZIMMessageType.Multiple;
}

/** Message replied info. */
export interface ZIMMessageRepliedInfo {
  state: ZIMMessageRepliedInfoState;
  messageInfo: ZIMMessageLiteInfo;
  /** The sender. */
  senderUserID: string;
  /** ms since 1970. */
  sentTime: number;
  /** Unique over the whole system, decimal digits. */
  messageID: string;
  /** Counts 1, 2, 3 … the messages of this sender in this conversation. */
  messageSeq: number;
}

/** Message. */
export interface ZIMMessage {
  type: ZIMMessageType;
  /** Unique over the whole system, decimal digits. */
  messageID?: string;
  /** The sender's ID of the message; repeats use the same. */
  localMessageID?: string;
  /** Counts 1, 2, 3 … the messages of this sender in this conversation. */
  messageSeq?: number;
  /** The sender. */
  senderUserID?: string;
  /** The other user's ID. */
  conversationID?: string;
  conversationType?: ZIMConversationType;
  direction?: ZIMMessageDirection;
  sentStatus?: ZIMMessageSentStatus;
  /** ms since 1970, when peerd accepted it. */
  timestamp?: number;
  /** Sorts: larger is later. */
  orderKey?: number;
  /** Inserted by `insertMessageToLocalDB`. */
  isUserInserted?: boolean;
  receiptStatus?: ZIMMessageReceiptStatus;
  /** At most 1,024 bytes, travels with the message. */
  extendedData?: string;
  /** Kept on this device only. */
  localExtendedData?: string;
  reactions?: ZIMMessageReaction[];
  /** Always false. */
  isBroadcastMessage?: boolean;
  /** Always empty. */
  mentionedUserIDs?: string[];
  /** Always false. */
  isMentionAll?: boolean;
  repliedInfo?: ZIMMessageRepliedInfo;
  /** Replies in the tree of this root. */
  rootRepliedCount?: number;
  isServerMessage?: boolean;
  editorUserID?: string;
  /** ms since 1970; 0: never edited. */
  editedTime?: number;
  /** Always false. */
  isGroupTargetedMessage?: boolean;
  pinnedUserID?: string;
  /** ms since 1970; 0: not pinned. */
  pinnedTime?: number;
  /** The message does not fit into a NATS message and is shown without its content. */
  isContentOmitted?: boolean;
}

/** Media message. */
export interface ZIMMediaMessage extends ZIMMessage {
  /** Uploaded by the `upload` option before the send. */
  fileLocalPath?: File;
  /** Passed through by peerd, which stores no media. */
  fileDownloadUrl?: string;
  fileUID?: string;
  /** At most 2 KB together with the URLs. */
  fileName?: string;
  /** Bytes. */
  fileSize?: number;
}

/** Text message. */
export interface ZIMTextMessage extends ZIMMessage {
  message: string;
  type: ZIMMessageType.Text;
}

/** Custom message. */
export interface ZIMCustomMessage extends ZIMMessage {
  message: string;
  searchedContent?: string;
  subType: number;
  type: ZIMMessageType.Custom;
}

/** Command message. */
export interface ZIMCommandMessage extends ZIMMessage {
  message: Uint8Array;
  type: ZIMMessageType.Command;
}

/** Image message. */
export interface ZIMImageMessage extends ZIMMediaMessage {
  thumbnailDownloadUrl?: string;
  largeImageDownloadUrl?: string;
  /** Pixels. */
  originalImageWidth?: number;
  /** Pixels. */
  originalImageHeight?: number;
  /** Pixels. */
  largeImageWidth?: number;
  /** Pixels. */
  largeImageHeight?: number;
  /** Pixels. */
  thumbnailWidth?: number;
  /** Pixels. */
  thumbnailHeight?: number;
  type: ZIMMessageType.Image;
}

/** File message. */
export interface ZIMFileMessage extends ZIMMediaMessage {
  type: ZIMMessageType.File;
}

/** Audio message. */
export interface ZIMAudioMessage extends ZIMMediaMessage {
  /** Seconds. */
  audioDuration: number;
  type: ZIMMessageType.Audio;
}

/** Video message. */
export interface ZIMVideoMessage extends ZIMMediaMessage {
  /** Seconds. */
  videoDuration: number;
  videoFirstFrameDownloadUrl?: string;
  /** Pixels. */
  videoFirstFrameWidth?: number;
  /** Pixels. */
  videoFirstFrameHeight?: number;
  type: ZIMMessageType.Video;
}

/** Revoke message. */
export interface ZIMRevokeMessage extends ZIMMessage {
  revokeType: ZIMRevokeType;
  /** ms since 1970. */
  revokeTimestamp: number;
  operatedUserID: string;
  originalMessageType: ZIMMessageType;
  /** The text, in the reply to the one who revoked it; else `""`. */
  originalTextMessageContent: string;
  /** At most 200 bytes. */
  revokeExtendedData: string;
  revokeStatus: ZIMMessageRevokeStatus;
  type: ZIMMessageType.Revoke;
}

/** Combine message. */
export interface ZIMCombineMessage extends ZIMMessage {
  title: string;
  summary: string;
  /** Left out: the messages inside are always there. */
  combineID?: string;
  messageList: ZIMMessage[];
  type: ZIMMessageType.Combine;
}

/** Multiple message. */
export interface ZIMMultipleMessage extends ZIMMessage {
  /** 1–20 items. */
  messageInfoList: ZIMMessageLiteInfo[];
  /** Indexes of items whose upload failed. */
  failedIndexList?: number[];
  type: ZIMMessageType.Multiple;
}

/** Message root replied info. */
export interface ZIMMessageRootRepliedInfo {
  state: ZIMMessageRepliedInfoState;
  message?: ZIMMessage;
  /** The sender. */
  senderUserID: string;
  /** ms since 1970. */
  sentTime: number;
  repliedCount: number;
}

/** Message root replied count info. */
export interface ZIMMessageRootRepliedCountInfo {
  /** Unique over the whole system, decimal digits. */
  messageID: string;
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
  /** Largest number of entries. */
  count: number;
}

/** Message mentioned info. */
export interface ZIMMessageMentionedInfo {
  /** Unique over the whole system, decimal digits. */
  messageID: string;
  /** Counts 1, 2, 3 … the messages of this sender in this conversation. */
  messageSeq: number;
  fromUserID: string;
  type: ZIMMessageMentionedType;
}

/** Message received info. */
export interface ZIMMessageReceivedInfo {
  /** Stored while this client was away. */
  isOfflineMessage: boolean;
}

/** Message receipt info. */
export interface ZIMMessageReceiptInfo {
  status: ZIMMessageReceiptStatus;
  /** Unique over the whole system, decimal digits. */
  messageID: string;
  /** The other user's ID. */
  conversationID: string;
  conversationType: ZIMConversationType;
  readMemberCount: number;
  unreadMemberCount: number;
  isSelfOperated: boolean;
  /** ms since 1970; 0: not confirmed singly. */
  readTime: number;
  /** Always 0. */
  deliveredMemberCount?: number;
}

/** Message sent status change info. */
export interface ZIMMessageSentStatusChangeInfo {
  status: ZIMMessageSentStatus;
  message: ZIMMessage;
  /** Stable word for programs, see "Errors" in docs/protocol.md. */
  reason: string;
}

/** Message pin status change info. */
export interface ZIMMessagePinStatusChangeInfo {
  pinStatus: ZIMMessagePinStatus;
  message: ZIMMessage;
}
