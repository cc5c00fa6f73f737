// Users, their status and block lists.

import type { ZIMPlatformType, ZIMUserOnlineStatus } from "./enums.js";

/** User info. */
export interface ZIMUserInfo {
  /** 1–64 bytes of ASCII. */
  userID: string;
  /** At most 256 bytes. */
  userName: string;
  /** At most 500 bytes. */
  userAvatarUrl: string;
  /** At most 2,048 bytes; `""` in lists. */
  userExtendedData: string;
}

/** User full info. */
export interface ZIMUserFullInfo {
  baseInfo: ZIMUserInfo;
  /** At most 500 bytes. */
  userAvatarUrl: string;
  /** At most 1,024 bytes, travels with the message. */
  extendedData: string;
}

/** User offline push rule. */
export interface ZIMUserOfflinePushRule {
  /** Platforms of the sessions, ascending. */
  onlinePlatforms: ZIMPlatformType[];
  notToReceiveOfflinePushPlatforms: ZIMPlatformType[];
}

/** User rule. */
export interface ZIMUserRule {
  offlinePushRule: ZIMUserOfflinePushRule;
  hideReadReceipts?: boolean;
  hideTyping?: boolean;
  hideOnlineStatus?: boolean;
}

/** User status. */
export interface ZIMUserStatus {
  /** 1–64 bytes of ASCII. */
  userID: string;
  onlineStatus: ZIMUserOnlineStatus;
  /** Platforms of the sessions, ascending. */
  onlinePlatforms: ZIMPlatformType[];
  /** At most 64 bytes. */
  customStatus: string;
  /** ms since 1970; 0: none. */
  customStatusExpiredTime: number;
  /** ms since 1970. */
  lastUpdateTime: number;
  /** ms since 1970. */
  lastOnlineStatusUpdateTime: number;
  /** ms since 1970. */
  lastCustomStatusUpdateTime: number;
}

/** User status subscription. */
export interface ZIMUserStatusSubscription {
  userStatus: ZIMUserStatus;
  /** ms since 1970. */
  subscribeExpiredTime: number;
}

/** Self user info. */
export interface ZIMSelfUserInfo {
  userFullInfo: ZIMUserFullInfo;
  userRule: ZIMUserRule;
  userStatus: ZIMUserStatus;
}

/** User status subscribe config. */
export interface ZIMUserStatusSubscribeConfig {
  /** Minutes, 1–43,200. */
  subscriptionDuration: number;
}

/** Subscribed user status query config. */
export interface ZIMSubscribedUserStatusQueryConfig {
  userIDs?: string[];
}

/** Error user info. */
export interface ZIMErrorUserInfo {
  /** 1–64 bytes of ASCII. */
  userID: string;
  /** Stable word for programs, see "Errors" in docs/protocol.md. */
  reason: number;
}

/** Users info query config. */
export interface ZIMUsersInfoQueryConfig {
  /** Without effect: peerd is always asked. */
  isQueryFromServer?: boolean;
}

/** Blacklist query config. */
export interface ZIMBlacklistQueryConfig {
  /** 0 for the first page; 0 in a result: the last page. */
  nextFlag?: number;
  /** Largest number of entries. */
  count: number;
}

/** User custom status update config. */
export interface ZIMUserCustomStatusUpdateConfig {
  /** Seconds, up to 2,592,000; 0: a day. */
  duration?: number;
}
