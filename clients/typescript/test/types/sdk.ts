// Compiles the client against the typings of zego-zim-web: an application of the SDK may use it in
// place of the SDK. Nothing here is run. With a new version of the SDK, add its types to the lists
// below; the compiler finds the methods, events and values that are missing in the client.
import type * as sdk from "zego-zim-web";
import * as peerd from "../../src/index.js";

// The whole client is a client of the SDK, with every method, supported or not.
const client: sdk.ZIM = new peerd.ZIM();
const created: sdk.ZIM | null = peerd.ZIM.create({ appID: 1 });
const statics: Pick<
  typeof sdk.ZIM,
  "getVersion" | "create" | "getInstance" | "setAdvancedConfig" | "setGeofencingConfig"
> = peerd.ZIM;

/** Fails to compile unless the first type is assignable to the second. */
type Assignable<Ours extends Theirs, Theirs> = Ours;
/** Fails to compile unless the type is `true`. */
type Holds<Condition extends true> = Condition;
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

/** Methods that are refused are methods of the SDK, and all other ones are supported. */
type Refused = (typeof peerd.UNSUPPORTED_METHODS)[number];
export type EachRefusedMethodIsOfTheSdk = Holds<Same<Exclude<Refused, keyof sdk.ZIM>, never>>;
export type EachMethodIsThere = Holds<Same<Exclude<keyof sdk.ZIM, keyof peerd.ZIM>, never>>;
export type EachEventIsThere = Holds<Same<keyof sdk.ZIMEventHandler, keyof peerd.ZIMEventHandler>>;

/** Bodies of events. */
type BodyOf<Handler> = Handler extends (zim: never, data: infer Body) => void ? Body : never;
type Happens = Exclude<keyof peerd.ZIMEventHandler, (typeof peerd.UNSUPPORTED_EVENTS)[number]>;
export type EventBodies = {
  [E in Happens]: Assignable<BodyOf<peerd.ZIMEventHandler[E]>, BodyOf<sdk.ZIMEventHandler[E]>>;
};

/** What calls and events give. */
export type Given = [
  Assignable<peerd.ZIMAudioMessage, sdk.ZIMAudioMessage>,
  Assignable<peerd.ZIMAudioMessageLiteInfo, sdk.ZIMAudioMessageLiteInfo>,
  Assignable<peerd.ZIMBlacklistCheckedResult, sdk.ZIMBlacklistCheckedResult>,
  Assignable<peerd.ZIMBlacklistQueriedResult, sdk.ZIMBlacklistQueriedResult>,
  Assignable<peerd.ZIMBlacklistUsersAddedResult, sdk.ZIMBlacklistUsersAddedResult>,
  Assignable<peerd.ZIMBlacklistUsersRemovedResult, sdk.ZIMBlacklistUsersRemovedResult>,
  Assignable<peerd.ZIMCombineMessage, sdk.ZIMCombineMessage>,
  Assignable<peerd.ZIMCombineMessageDetailQueriedResult, sdk.ZIMCombineMessageDetailQueriedResult>,
  Assignable<peerd.ZIMCombineMessageLiteInfo, sdk.ZIMCombineMessageLiteInfo>,
  Assignable<peerd.ZIMCommandMessage, sdk.ZIMCommandMessage>,
  Assignable<peerd.ZIMConversation, sdk.ZIMConversation>,
  Assignable<peerd.ZIMConversationBaseInfo, sdk.ZIMConversationBaseInfo>,
  Assignable<peerd.ZIMConversationChangeInfo, sdk.ZIMConversationChangeInfo>,
  Assignable<peerd.ZIMConversationDeletedResult, sdk.ZIMConversationDeletedResult>,
  Assignable<peerd.ZIMConversationDraftSetResult, sdk.ZIMConversationDraftSetResult>,
  Assignable<peerd.ZIMConversationListQueriedResult, sdk.ZIMConversationListQueriedResult>,
  Assignable<peerd.ZIMConversationMarkSetResult, sdk.ZIMConversationMarkSetResult>,
  Assignable<
    peerd.ZIMConversationMessageReceiptReadSentResult,
    sdk.ZIMConversationMessageReceiptReadSentResult
  >,
  Assignable<
    peerd.ZIMConversationNotificationStatusSetResult,
    sdk.ZIMConversationNotificationStatusSetResult
  >,
  Assignable<
    peerd.ZIMConversationPinnedListQueriedResult,
    sdk.ZIMConversationPinnedListQueriedResult
  >,
  Assignable<
    peerd.ZIMConversationPinnedStateUpdatedResult,
    sdk.ZIMConversationPinnedStateUpdatedResult
  >,
  Assignable<peerd.ZIMConversationQueriedResult, sdk.ZIMConversationQueriedResult>,
  Assignable<peerd.ZIMConversationSearchInfo, sdk.ZIMConversationSearchInfo>,
  Assignable<
    peerd.ZIMConversationTotalUnreadMessageCountQueriedResult,
    sdk.ZIMConversationTotalUnreadMessageCountQueriedResult
  >,
  Assignable<
    peerd.ZIMConversationUnreadMessageCountClearedResult,
    sdk.ZIMConversationUnreadMessageCountClearedResult
  >,
  Assignable<peerd.ZIMConversationsSearchedResult, sdk.ZIMConversationsSearchedResult>,
  Assignable<peerd.ZIMCustomMessage, sdk.ZIMCustomMessage>,
  Assignable<peerd.ZIMCustomMessageLiteInfo, sdk.ZIMCustomMessageLiteInfo>,
  Assignable<peerd.ZIMErrorUserInfo, sdk.ZIMErrorUserInfo>,
  Assignable<peerd.ZIMEventOfBlacklistChangedResult, sdk.ZIMEventOfBlacklistChangedResult>,
  Assignable<
    peerd.ZIMEventOfConnectionStateChangedResult,
    sdk.ZIMEventOfConnectionStateChangedResult
  >,
  Assignable<peerd.ZIMEventOfConversationChangedResult, sdk.ZIMEventOfConversationChangedResult>,
  Assignable<
    peerd.ZIMEventOfConversationMessageReceiptChangedResult,
    sdk.ZIMEventOfConversationMessageReceiptChangedResult
  >,
  Assignable<
    peerd.ZIMEventOfConversationMessageReceivedResult,
    sdk.ZIMEventOfConversationMessageReceivedResult
  >,
  Assignable<
    peerd.ZIMEventOfConversationSyncStateChangedResult,
    sdk.ZIMEventOfConversationSyncStateChangedResult
  >,
  Assignable<
    peerd.ZIMEventOfConversationTotalUnreadMessageCountUpdatedResult,
    sdk.ZIMEventOfConversationTotalUnreadMessageCountUpdatedResult
  >,
  Assignable<
    peerd.ZIMEventOfConversationsAllDeletedResult,
    sdk.ZIMEventOfConversationsAllDeletedResult
  >,
  Assignable<peerd.ZIMEventOfMessageDeletedResult, sdk.ZIMEventOfMessageDeletedResult>,
  Assignable<peerd.ZIMEventOfMessageEditedResult, sdk.ZIMEventOfMessageEditedResult>,
  Assignable<
    peerd.ZIMEventOfMessagePinStatusChangedResult,
    sdk.ZIMEventOfMessagePinStatusChangedResult
  >,
  Assignable<
    peerd.ZIMEventOfMessageReactionsChangedResult,
    sdk.ZIMEventOfMessageReactionsChangedResult
  >,
  Assignable<
    peerd.ZIMEventOfMessageReceiptChangedResult,
    sdk.ZIMEventOfMessageReceiptChangedResult
  >,
  Assignable<
    peerd.ZIMEventOfMessageRepliedCountChangedResult,
    sdk.ZIMEventOfMessageRepliedCountChangedResult
  >,
  Assignable<
    peerd.ZIMEventOfMessageRepliedInfoChangedResult,
    sdk.ZIMEventOfMessageRepliedInfoChangedResult
  >,
  Assignable<
    peerd.ZIMEventOfMessageRevokeReceivedResult,
    sdk.ZIMEventOfMessageRevokeReceivedResult
  >,
  Assignable<
    peerd.ZIMEventOfMessageSentStatusChangedResult,
    sdk.ZIMEventOfMessageSentStatusChangedResult
  >,
  Assignable<
    peerd.ZIMEventOfReceiveConversationMessageResult,
    sdk.ZIMEventOfReceiveConversationMessageResult
  >,
  Assignable<peerd.ZIMEventOfTokenWillExpireResult, sdk.ZIMEventOfTokenWillExpireResult>,
  Assignable<peerd.ZIMEventOfUserInfoUpdatedResult, sdk.ZIMEventOfUserInfoUpdatedResult>,
  Assignable<peerd.ZIMEventOfUserRuleUpdatedResult, sdk.ZIMEventOfUserRuleUpdatedResult>,
  Assignable<peerd.ZIMEventOfUserStatusUpdatedResult, sdk.ZIMEventOfUserStatusUpdatedResult>,
  Assignable<peerd.ZIMFileMessage, sdk.ZIMFileMessage>,
  Assignable<peerd.ZIMFileMessageLiteInfo, sdk.ZIMFileMessageLiteInfo>,
  Assignable<peerd.ZIMImageMessage, sdk.ZIMImageMessage>,
  Assignable<peerd.ZIMImageMessageLiteInfo, sdk.ZIMImageMessageLiteInfo>,
  Assignable<peerd.ZIMMediaMessage, sdk.ZIMMediaMessage>,
  Assignable<peerd.ZIMMediaMessageLiteInfo, sdk.ZIMMediaMessageLiteInfo>,
  Assignable<peerd.ZIMMessage, sdk.ZIMMessage>,
  Assignable<peerd.ZIMMessageDeletedResult, sdk.ZIMMessageDeletedResult>,
  Assignable<peerd.ZIMMessageEditedResult, sdk.ZIMMessageEditedResult>,
  Assignable<peerd.ZIMMessageInsertedResult, sdk.ZIMMessageInsertedResult>,
  Assignable<peerd.ZIMMessageLiteInfo, sdk.ZIMMessageLiteInfo>,
  Assignable<
    peerd.ZIMMessageLocalExtendedDataUpdatedResult,
    sdk.ZIMMessageLocalExtendedDataUpdatedResult
  >,
  Assignable<peerd.ZIMMessageMentionedInfo, sdk.ZIMMessageMentionedInfo>,
  Assignable<peerd.ZIMMessagePinStatusChangeInfo, sdk.ZIMMessagePinStatusChangeInfo>,
  Assignable<peerd.ZIMMessageQueriedResult, sdk.ZIMMessageQueriedResult>,
  Assignable<peerd.ZIMMessageReaction, sdk.ZIMMessageReaction>,
  Assignable<peerd.ZIMMessageReactionAddedResult, sdk.ZIMMessageReactionAddedResult>,
  Assignable<peerd.ZIMMessageReactionChangeInfo, sdk.ZIMMessageReactionChangeInfo>,
  Assignable<peerd.ZIMMessageReactionDeletedResult, sdk.ZIMMessageReactionDeletedResult>,
  Assignable<peerd.ZIMMessageReactionSimpleInfo, sdk.ZIMMessageReactionSimpleInfo>,
  Assignable<peerd.ZIMMessageReactionUserChangeInfo, sdk.ZIMMessageReactionUserChangeInfo>,
  Assignable<peerd.ZIMMessageReactionUserFullInfo, sdk.ZIMMessageReactionUserFullInfo>,
  Assignable<peerd.ZIMMessageReactionUserInfo, sdk.ZIMMessageReactionUserInfo>,
  Assignable<
    peerd.ZIMMessageReactionUserListQueriedResult,
    sdk.ZIMMessageReactionUserListQueriedResult
  >,
  Assignable<peerd.ZIMMessageReceiptInfo, sdk.ZIMMessageReceiptInfo>,
  Assignable<peerd.ZIMMessageReceiptsInfoQueriedResult, sdk.ZIMMessageReceiptsInfoQueriedResult>,
  Assignable<peerd.ZIMMessageReceiptsReadSentResult, sdk.ZIMMessageReceiptsReadSentResult>,
  Assignable<peerd.ZIMMessageReceivedInfo, sdk.ZIMMessageReceivedInfo>,
  Assignable<peerd.ZIMMessageRepliedInfo, sdk.ZIMMessageRepliedInfo>,
  Assignable<peerd.ZIMMessageRepliedListQueriedResult, sdk.ZIMMessageRepliedListQueriedResult>,
  Assignable<peerd.ZIMMessageRevokedResult, sdk.ZIMMessageRevokedResult>,
  Assignable<peerd.ZIMMessageRootRepliedCountInfo, sdk.ZIMMessageRootRepliedCountInfo>,
  Assignable<peerd.ZIMMessageRootRepliedInfo, sdk.ZIMMessageRootRepliedInfo>,
  Assignable<peerd.ZIMMessageSentResult, sdk.ZIMMessageSentResult>,
  Assignable<peerd.ZIMMessageSentStatusChangeInfo, sdk.ZIMMessageSentStatusChangeInfo>,
  Assignable<peerd.ZIMMessagesGlobalSearchedResult, sdk.ZIMMessagesGlobalSearchedResult>,
  Assignable<peerd.ZIMMessagesSearchedResult, sdk.ZIMMessagesSearchedResult>,
  Assignable<peerd.ZIMMultipleMessage, sdk.ZIMMultipleMessage>,
  Assignable<peerd.ZIMMultipleMessageLiteInfo, sdk.ZIMMultipleMessageLiteInfo>,
  Assignable<peerd.ZIMOfflinePushPrivateMessageTemplate, sdk.ZIMOfflinePushPrivateMessageTemplate>,
  Assignable<peerd.ZIMPinnedMessageListQueriedResult, sdk.ZIMPinnedMessageListQueriedResult>,
  Assignable<peerd.ZIMRevokeMessage, sdk.ZIMRevokeMessage>,
  Assignable<peerd.ZIMRevokeMessageLiteInfo, sdk.ZIMRevokeMessageLiteInfo>,
  Assignable<peerd.ZIMSelfUserInfo, sdk.ZIMSelfUserInfo>,
  Assignable<peerd.ZIMSelfUserInfoQueriedResult, sdk.ZIMSelfUserInfoQueriedResult>,
  Assignable<
    peerd.ZIMSubscribedUserStatusListQueriedResult,
    sdk.ZIMSubscribedUserStatusListQueriedResult
  >,
  Assignable<peerd.ZIMTextMessage, sdk.ZIMTextMessage>,
  Assignable<peerd.ZIMTextMessageLiteInfo, sdk.ZIMTextMessageLiteInfo>,
  Assignable<peerd.ZIMTokenRenewedResult, sdk.ZIMTokenRenewedResult>,
  Assignable<peerd.ZIMUserAvatarUrlUpdatedResult, sdk.ZIMUserAvatarUrlUpdatedResult>,
  Assignable<peerd.ZIMUserCustomStatusUpdatedResult, sdk.ZIMUserCustomStatusUpdatedResult>,
  Assignable<peerd.ZIMUserExtendedDataUpdatedResult, sdk.ZIMUserExtendedDataUpdatedResult>,
  Assignable<peerd.ZIMUserFullInfo, sdk.ZIMUserFullInfo>,
  Assignable<peerd.ZIMUserInfo, sdk.ZIMUserInfo>,
  Assignable<peerd.ZIMUserNameUpdatedResult, sdk.ZIMUserNameUpdatedResult>,
  Assignable<peerd.ZIMUserOfflinePushRule, sdk.ZIMUserOfflinePushRule>,
  Assignable<peerd.ZIMUserRule, sdk.ZIMUserRule>,
  Assignable<peerd.ZIMUserStatus, sdk.ZIMUserStatus>,
  Assignable<peerd.ZIMUserStatusSubscription, sdk.ZIMUserStatusSubscription>,
  Assignable<peerd.ZIMUsersInfoQueriedResult, sdk.ZIMUsersInfoQueriedResult>,
  Assignable<peerd.ZIMUsersStatusQueriedResult, sdk.ZIMUsersStatusQueriedResult>,
  Assignable<peerd.ZIMUsersStatusSubscribedResult, sdk.ZIMUsersStatusSubscribedResult>,
  Assignable<peerd.ZIMUsersStatusUnsubscribedResult, sdk.ZIMUsersStatusUnsubscribedResult>,
  Assignable<peerd.ZIMVideoMessage, sdk.ZIMVideoMessage>,
  Assignable<peerd.ZIMVideoMessageLiteInfo, sdk.ZIMVideoMessageLiteInfo>,
];

/** What calls take. A message that the SDK gave may be sent, and the other way round. */
export type Taken = [
  Assignable<sdk.ZIMAppConfig, peerd.ZIMAppConfig>,
  Assignable<sdk.ZIMAudioMessage, peerd.ZIMAudioMessage>,
  Assignable<sdk.ZIMAudioMessageLiteInfo, peerd.ZIMAudioMessageLiteInfo>,
  Assignable<sdk.ZIMBlacklistQueryConfig, peerd.ZIMBlacklistQueryConfig>,
  Assignable<sdk.ZIMCombineMessage, peerd.ZIMCombineMessage>,
  Assignable<sdk.ZIMCombineMessageLiteInfo, peerd.ZIMCombineMessageLiteInfo>,
  Assignable<sdk.ZIMCommandMessage, peerd.ZIMCommandMessage>,
  Assignable<sdk.ZIMConversationDeleteConfig, peerd.ZIMConversationDeleteConfig>,
  Assignable<sdk.ZIMConversationFilterOption, peerd.ZIMConversationFilterOption>,
  Assignable<sdk.ZIMConversationQueryConfig, peerd.ZIMConversationQueryConfig>,
  Assignable<sdk.ZIMConversationSearchConfig, peerd.ZIMConversationSearchConfig>,
  Assignable<
    sdk.ZIMConversationTotalUnreadMessageCountQueryConfig,
    peerd.ZIMConversationTotalUnreadMessageCountQueryConfig
  >,
  Assignable<sdk.ZIMCustomMessage, peerd.ZIMCustomMessage>,
  Assignable<sdk.ZIMCustomMessageLiteInfo, peerd.ZIMCustomMessageLiteInfo>,
  Assignable<sdk.ZIMFileMessage, peerd.ZIMFileMessage>,
  Assignable<sdk.ZIMFileMessageLiteInfo, peerd.ZIMFileMessageLiteInfo>,
  Assignable<sdk.ZIMImageMessage, peerd.ZIMImageMessage>,
  Assignable<sdk.ZIMImageMessageLiteInfo, peerd.ZIMImageMessageLiteInfo>,
  Assignable<sdk.ZIMLogConfig, peerd.ZIMLogConfig>,
  Assignable<sdk.ZIMLoginConfig, peerd.ZIMLoginConfig>,
  Assignable<sdk.ZIMLogoutConfig, peerd.ZIMLogoutConfig>,
  Assignable<sdk.ZIMMediaMessage, peerd.ZIMMediaMessage>,
  Assignable<sdk.ZIMMediaMessageLiteInfo, peerd.ZIMMediaMessageLiteInfo>,
  Assignable<sdk.ZIMMediaMessageSendNotification, peerd.ZIMMediaMessageSendNotification>,
  Assignable<sdk.ZIMMessage, peerd.ZIMMessage>,
  Assignable<sdk.ZIMMessageDeleteConfig, peerd.ZIMMessageDeleteConfig>,
  Assignable<sdk.ZIMMessageEditConfig, peerd.ZIMMessageEditConfig>,
  Assignable<sdk.ZIMMessageLiteInfo, peerd.ZIMMessageLiteInfo>,
  Assignable<sdk.ZIMMessagePinConfig, peerd.ZIMMessagePinConfig>,
  Assignable<sdk.ZIMMessageQueryConfig, peerd.ZIMMessageQueryConfig>,
  Assignable<sdk.ZIMMessageReactionAddConfig, peerd.ZIMMessageReactionAddConfig>,
  Assignable<sdk.ZIMMessageReactionUserQueryConfig, peerd.ZIMMessageReactionUserQueryConfig>,
  Assignable<sdk.ZIMMessageRepliedListQueryConfig, peerd.ZIMMessageRepliedListQueryConfig>,
  Assignable<sdk.ZIMMessageRevokeConfig, peerd.ZIMMessageRevokeConfig>,
  Assignable<sdk.ZIMMessageSearchConfig, peerd.ZIMMessageSearchConfig>,
  Assignable<sdk.ZIMMessageSendConfig, peerd.ZIMMessageSendConfig>,
  Assignable<sdk.ZIMMessageSendNotification, peerd.ZIMMessageSendNotification>,
  Assignable<sdk.ZIMMultipleMessage, peerd.ZIMMultipleMessage>,
  Assignable<sdk.ZIMMultipleMessageLiteInfo, peerd.ZIMMultipleMessageLiteInfo>,
  Assignable<sdk.ZIMPushConfig, peerd.ZIMPushConfig>,
  Assignable<sdk.ZIMRevokeMessage, peerd.ZIMRevokeMessage>,
  Assignable<sdk.ZIMRevokeMessageLiteInfo, peerd.ZIMRevokeMessageLiteInfo>,
  Assignable<sdk.ZIMSendingMessageCancelConfig, peerd.ZIMSendingMessageCancelConfig>,
  Assignable<sdk.ZIMSubscribedUserStatusQueryConfig, peerd.ZIMSubscribedUserStatusQueryConfig>,
  Assignable<sdk.ZIMTextMessage, peerd.ZIMTextMessage>,
  Assignable<sdk.ZIMTextMessageLiteInfo, peerd.ZIMTextMessageLiteInfo>,
  Assignable<sdk.ZIMUserCustomStatusUpdateConfig, peerd.ZIMUserCustomStatusUpdateConfig>,
  Assignable<sdk.ZIMUserStatusSubscribeConfig, peerd.ZIMUserStatusSubscribeConfig>,
  Assignable<sdk.ZIMUsersInfoQueryConfig, peerd.ZIMUsersInfoQueryConfig>,
  Assignable<sdk.ZIMVideoMessage, peerd.ZIMVideoMessage>,
  Assignable<sdk.ZIMVideoMessageLiteInfo, peerd.ZIMVideoMessageLiteInfo>,
  Assignable<sdk.ZIMVoIPConfig, peerd.ZIMVoIPConfig>,
];

/** Each enumeration has the names and numbers of the SDK, in both directions. */
type Members<Enumeration> = { readonly [K in keyof Enumeration & string]: Enumeration[K] };
export const enumerations: {
  ZIMBlacklistChangeAction: Members<typeof sdk.ZIMBlacklistChangeAction>;
  ZIMConnectionEvent: Members<typeof sdk.ZIMConnectionEvent>;
  ZIMConnectionState: Members<typeof sdk.ZIMConnectionState>;
  ZIMConversationEvent: Members<typeof sdk.ZIMConversationEvent>;
  ZIMConversationNotificationStatus: Members<typeof sdk.ZIMConversationNotificationStatus>;
  ZIMConversationPinnedFilter: Members<typeof sdk.ZIMConversationPinnedFilter>;
  ZIMConversationSearchMode: Members<typeof sdk.ZIMConversationSearchMode>;
  ZIMConversationSyncState: Members<typeof sdk.ZIMConversationSyncState>;
  ZIMConversationType: Members<typeof sdk.ZIMConversationType>;
  ZIMCXHandleType: Members<typeof sdk.ZIMCXHandleType>;
  ZIMGeofencingType: Members<typeof sdk.ZIMGeofencingType>;
  ZIMMediaFileType: Members<typeof sdk.ZIMMediaFileType>;
  ZIMMessageDeleteType: Members<typeof sdk.ZIMMessageDeleteType>;
  ZIMMessageDirection: Members<typeof sdk.ZIMMessageDirection>;
  ZIMMessageMentionedType: Members<typeof sdk.ZIMMessageMentionedType>;
  ZIMMessageOrder: Members<typeof sdk.ZIMMessageOrder>;
  ZIMMessagePinStatus: Members<typeof sdk.ZIMMessagePinStatus>;
  ZIMMessagePriority: Members<typeof sdk.ZIMMessagePriority>;
  ZIMMessageQueryMode: Members<typeof sdk.ZIMMessageQueryMode>;
  ZIMMessageReactionUserChangeAction: Members<typeof sdk.ZIMMessageReactionUserChangeAction>;
  ZIMMessageReceiptStatus: Members<typeof sdk.ZIMMessageReceiptStatus>;
  ZIMMessageRepliedInfoState: Members<typeof sdk.ZIMMessageRepliedInfoState>;
  ZIMMessageRevokeStatus: Members<typeof sdk.ZIMMessageRevokeStatus>;
  ZIMMessageSentStatus: Members<typeof sdk.ZIMMessageSentStatus>;
  ZIMMessageType: Members<typeof sdk.ZIMMessageType>;
  ZIMPlatformType: Members<typeof sdk.ZIMPlatformType>;
  ZIMRevokeType: Members<typeof sdk.ZIMRevokeType>;
  ZIMUserOnlineStatus: Members<typeof sdk.ZIMUserOnlineStatus>;
} = peerd;
export type EnumerationsAreComplete = [
  Holds<
    Same<
      keyof typeof peerd.ZIMBlacklistChangeAction,
      keyof Members<typeof sdk.ZIMBlacklistChangeAction>
    >
  >,
  Holds<Same<keyof typeof peerd.ZIMConnectionEvent, keyof Members<typeof sdk.ZIMConnectionEvent>>>,
  Holds<Same<keyof typeof peerd.ZIMConnectionState, keyof Members<typeof sdk.ZIMConnectionState>>>,
  Holds<
    Same<keyof typeof peerd.ZIMConversationEvent, keyof Members<typeof sdk.ZIMConversationEvent>>
  >,
  Holds<
    Same<
      keyof typeof peerd.ZIMConversationNotificationStatus,
      keyof Members<typeof sdk.ZIMConversationNotificationStatus>
    >
  >,
  Holds<
    Same<
      keyof typeof peerd.ZIMConversationPinnedFilter,
      keyof Members<typeof sdk.ZIMConversationPinnedFilter>
    >
  >,
  Holds<
    Same<
      keyof typeof peerd.ZIMConversationSearchMode,
      keyof Members<typeof sdk.ZIMConversationSearchMode>
    >
  >,
  Holds<
    Same<
      keyof typeof peerd.ZIMConversationSyncState,
      keyof Members<typeof sdk.ZIMConversationSyncState>
    >
  >,
  Holds<
    Same<keyof typeof peerd.ZIMConversationType, keyof Members<typeof sdk.ZIMConversationType>>
  >,
  Holds<Same<keyof typeof peerd.ZIMCXHandleType, keyof Members<typeof sdk.ZIMCXHandleType>>>,
  Holds<Same<keyof typeof peerd.ZIMGeofencingType, keyof Members<typeof sdk.ZIMGeofencingType>>>,
  Holds<Same<keyof typeof peerd.ZIMMediaFileType, keyof Members<typeof sdk.ZIMMediaFileType>>>,
  Holds<
    Same<keyof typeof peerd.ZIMMessageDeleteType, keyof Members<typeof sdk.ZIMMessageDeleteType>>
  >,
  Holds<
    Same<keyof typeof peerd.ZIMMessageDirection, keyof Members<typeof sdk.ZIMMessageDirection>>
  >,
  Holds<
    Same<
      keyof typeof peerd.ZIMMessageMentionedType,
      keyof Members<typeof sdk.ZIMMessageMentionedType>
    >
  >,
  Holds<Same<keyof typeof peerd.ZIMMessageOrder, keyof Members<typeof sdk.ZIMMessageOrder>>>,
  Holds<
    Same<keyof typeof peerd.ZIMMessagePinStatus, keyof Members<typeof sdk.ZIMMessagePinStatus>>
  >,
  Holds<Same<keyof typeof peerd.ZIMMessagePriority, keyof Members<typeof sdk.ZIMMessagePriority>>>,
  Holds<
    Same<keyof typeof peerd.ZIMMessageQueryMode, keyof Members<typeof sdk.ZIMMessageQueryMode>>
  >,
  Holds<
    Same<
      keyof typeof peerd.ZIMMessageReactionUserChangeAction,
      keyof Members<typeof sdk.ZIMMessageReactionUserChangeAction>
    >
  >,
  Holds<
    Same<
      keyof typeof peerd.ZIMMessageReceiptStatus,
      keyof Members<typeof sdk.ZIMMessageReceiptStatus>
    >
  >,
  Holds<
    Same<
      keyof typeof peerd.ZIMMessageRepliedInfoState,
      keyof Members<typeof sdk.ZIMMessageRepliedInfoState>
    >
  >,
  Holds<
    Same<
      keyof typeof peerd.ZIMMessageRevokeStatus,
      keyof Members<typeof sdk.ZIMMessageRevokeStatus>
    >
  >,
  Holds<
    Same<keyof typeof peerd.ZIMMessageSentStatus, keyof Members<typeof sdk.ZIMMessageSentStatus>>
  >,
  Holds<Same<keyof typeof peerd.ZIMMessageType, keyof Members<typeof sdk.ZIMMessageType>>>,
  Holds<Same<keyof typeof peerd.ZIMPlatformType, keyof Members<typeof sdk.ZIMPlatformType>>>,
  Holds<Same<keyof typeof peerd.ZIMRevokeType, keyof Members<typeof sdk.ZIMRevokeType>>>,
  Holds<
    Same<keyof typeof peerd.ZIMUserOnlineStatus, keyof Members<typeof sdk.ZIMUserOnlineStatus>>
  >,
];
export type EnumerationsAreTakenBack = [
  Assignable<sdk.ZIMBlacklistChangeAction, peerd.ZIMBlacklistChangeAction>,
  Assignable<sdk.ZIMConnectionEvent, peerd.ZIMConnectionEvent>,
  Assignable<sdk.ZIMConnectionState, peerd.ZIMConnectionState>,
  Assignable<sdk.ZIMConversationEvent, peerd.ZIMConversationEvent>,
  Assignable<sdk.ZIMConversationNotificationStatus, peerd.ZIMConversationNotificationStatus>,
  Assignable<sdk.ZIMConversationPinnedFilter, peerd.ZIMConversationPinnedFilter>,
  Assignable<sdk.ZIMConversationSearchMode, peerd.ZIMConversationSearchMode>,
  Assignable<sdk.ZIMConversationSyncState, peerd.ZIMConversationSyncState>,
  Assignable<sdk.ZIMConversationType, peerd.ZIMConversationType>,
  Assignable<sdk.ZIMCXHandleType, peerd.ZIMCXHandleType>,
  Assignable<sdk.ZIMGeofencingType, peerd.ZIMGeofencingType>,
  Assignable<sdk.ZIMMediaFileType, peerd.ZIMMediaFileType>,
  Assignable<sdk.ZIMMessageDeleteType, peerd.ZIMMessageDeleteType>,
  Assignable<sdk.ZIMMessageDirection, peerd.ZIMMessageDirection>,
  Assignable<sdk.ZIMMessageMentionedType, peerd.ZIMMessageMentionedType>,
  Assignable<sdk.ZIMMessageOrder, peerd.ZIMMessageOrder>,
  Assignable<sdk.ZIMMessagePinStatus, peerd.ZIMMessagePinStatus>,
  Assignable<sdk.ZIMMessagePriority, peerd.ZIMMessagePriority>,
  Assignable<sdk.ZIMMessageQueryMode, peerd.ZIMMessageQueryMode>,
  Assignable<sdk.ZIMMessageReactionUserChangeAction, peerd.ZIMMessageReactionUserChangeAction>,
  Assignable<sdk.ZIMMessageReceiptStatus, peerd.ZIMMessageReceiptStatus>,
  Assignable<sdk.ZIMMessageRepliedInfoState, peerd.ZIMMessageRepliedInfoState>,
  Assignable<sdk.ZIMMessageRevokeStatus, peerd.ZIMMessageRevokeStatus>,
  Assignable<sdk.ZIMMessageSentStatus, peerd.ZIMMessageSentStatus>,
  Assignable<sdk.ZIMMessageType, peerd.ZIMMessageType>,
  Assignable<sdk.ZIMPlatformType, peerd.ZIMPlatformType>,
  Assignable<sdk.ZIMRevokeType, peerd.ZIMRevokeType>,
  Assignable<sdk.ZIMUserOnlineStatus, peerd.ZIMUserOnlineStatus>,
];
/** Those codes that may occur. */
export const codes: Pick<typeof sdk.ZIMErrorCode, keyof typeof peerd.ZIMErrorCode> =
  peerd.ZIMErrorCode;

/** Each error is one of the SDK. */
export type Errors = [
  Assignable<peerd.ZIMError, sdk.ZIMError>,
  Assignable<peerd.PeerError, sdk.ZIMError>,
];

// Falsified: the compiler must complain about each.
// @ts-expect-error another number
export const wrongNumber: sdk.ZIMMessageDirection.Send = peerd.ZIMMessageDirection.Receive;
// @ts-expect-error a number that is not in the enumeration
export const noMember: peerd.ZIMMessageDirection = 7;
// @ts-expect-error a field is missing
export type Missing = Assignable<Omit<peerd.ZIMConversation, "draft">, sdk.ZIMConversation>;
// @ts-expect-error a method is missing
export type NoMethod = Assignable<Omit<peerd.ZIM, "sendMessage">, sdk.ZIM>;

void [client, created, statics];
