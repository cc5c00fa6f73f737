// The events, with the types of their listeners.
import type { ZIMError } from "./errors.js";
import type * as event from "./types/events.js";
import type { PeerdTypingEvent } from "./types/own.js";
import type { ZIM } from "./zim.js";

/** A listener: gets the client and the body of the event. */
type Handler<Body> = (zim: ZIM, data: Body) => void;

/** Events that happen. */
export interface ZIMSupportedEventHandler {
  /** A failure that belongs to no call, for example of a listener or of catching up. */
  error: Handler<ZIMError>;
  /** 30 s before the credentials expire, if they say so, or at once if less is left. */
  tokenWillExpire: Handler<event.ZIMEventOfTokenWillExpireResult>;
  connectionStateChanged: Handler<event.ZIMEventOfConnectionStateChangedResult>;
  userInfoUpdated: Handler<event.ZIMEventOfUserInfoUpdatedResult>;
  userRuleUpdated: Handler<event.ZIMEventOfUserRuleUpdatedResult>;
  userStatusUpdated: Handler<event.ZIMEventOfUserStatusUpdatedResult>;
  conversationChanged: Handler<event.ZIMEventOfConversationChangedResult>;
  conversationTotalUnreadMessageCountUpdated: Handler<event.ZIMEventOfConversationTotalUnreadMessageCountUpdatedResult>;
  conversationMessageReceiptChanged: Handler<event.ZIMEventOfConversationMessageReceiptChangedResult>;
  conversationsAllDeleted: Handler<event.ZIMEventOfConversationsAllDeletedResult>;
  /** Started and Finished (or Failed) around each login, reconnect and repair of a gap. */
  conversationSyncStateChanged: Handler<event.ZIMEventOfConversationSyncStateChangedResult>;
  /** The older name of `peerMessageReceived`. */
  receivePeerMessage: Handler<event.ZIMEventOfReceiveConversationMessageResult>;
  /** Each received message once. Those of one sender ascend by `orderKey`, unless one was late. */
  peerMessageReceived: Handler<event.ZIMEventOfConversationMessageReceivedResult>;
  messageSentStatusChanged: Handler<event.ZIMEventOfMessageSentStatusChangedResult>;
  messageReceiptChanged: Handler<event.ZIMEventOfMessageReceiptChangedResult>;
  messageRevokeReceived: Handler<event.ZIMEventOfMessageRevokeReceivedResult>;
  messageReactionsChanged: Handler<event.ZIMEventOfMessageReactionsChangedResult>;
  messageDeleted: Handler<event.ZIMEventOfMessageDeletedResult>;
  messageRepliedInfoChanged: Handler<event.ZIMEventOfMessageRepliedInfoChangedResult>;
  messageRepliedCountChanged: Handler<event.ZIMEventOfMessageRepliedCountChangedResult>;
  messageEdited: Handler<event.ZIMEventOfMessageEditedResult>;
  messagePinStatusChanged: Handler<event.ZIMEventOfMessagePinStatusChangedResult>;
  blacklistChanged: Handler<event.ZIMEventOfBlacklistChangedResult>;
}

/** Events of peerd that the SDK has not. */
export interface PeerdEventHandler {
  /** The other user is typing, or stopped. Assume so some seconds after the last event. */
  typing: Handler<PeerdTypingEvent>;
}

/** Events of the SDK that never happen: of rooms, groups, calls and friends. */
export const UNSUPPORTED_EVENTS = [
  "broadcastMessageReceived",
  "callInvitationAccepted",
  "callInvitationCancelled",
  "callInvitationCreated",
  "callInvitationEnded",
  "callInvitationReceived",
  "callInvitationRejected",
  "callInvitationTimeout",
  "callInviteesAnsweredTimeout",
  "callUserStateChanged",
  "experimentalEventReceived",
  "friendApplicationListChanged",
  "friendApplicationUpdated",
  "friendInfoUpdated",
  "friendListChanged",
  "groupAliasUpdated",
  "groupApplicationListChanged",
  "groupApplicationUpdated",
  "groupAttributesUpdated",
  "groupAvatarUrlUpdated",
  "groupMemberInfoUpdated",
  "groupMemberStateChanged",
  "groupMessageReceived",
  "groupMutedInfoUpdated",
  "groupNameUpdated",
  "groupNoticeUpdated",
  "groupStateChanged",
  "groupVerifyInfoUpdated",
  "receiveGroupMessage",
  "receiveRoomMessage",
  "roomAttributesBatchUpdated",
  "roomAttributesUpdated",
  "roomMemberAttributesUpdated",
  "roomMemberJoined",
  "roomMemberLeft",
  "roomMessageReceived",
  "roomStateChanged",
] as const;

/** Listeners of these are accepted, so that an application of the SDK compiles, and never called. */
export type ZIMUnsupportedEventHandler = Record<
  (typeof UNSUPPORTED_EVENTS)[number],
  (zim: ZIM, data: never) => void
>;

/** All events. */
export interface ZIMEventHandler extends ZIMSupportedEventHandler, ZIMUnsupportedEventHandler {}
