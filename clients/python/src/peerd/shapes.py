"""Bodies that peerd sends, as docs/protocol.md describes them."""

from dataclasses import dataclass
from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

from .requests import Content

Name = TypeVar("Name", bound=str, covariant=True)
Body = TypeVar("Body", covariant=True)

UserID = TypedDict("UserID", {"userID": str})
ErrorUser = TypedDict("ErrorUser", {"userID": str, "reason": int})
OfConversation = TypedDict("OfConversation", {"conversationID": str, "conversationType": int})


class Reaction(OfConversation):
    reactionType: str
    messageID: str
    totalCount: int
    isSelfIncluded: bool
    userList: list[UserID]
    sumCount: int


class RepliedInfo(TypedDict):
    state: int
    messageInfo: dict[str, Any]
    senderUserID: str
    sentTime: int
    messageID: str
    messageSeq: int


class Message(Content, OfConversation):
    """With the fields of its `type`. Fields of a revoked message are `revoke…`, `original…`."""

    type: int
    messageID: str
    localMessageID: str
    messageSeq: int
    senderUserID: str
    direction: int
    sentStatus: int
    timestamp: int
    orderKey: int
    receiptStatus: int
    extendedData: str
    isServerMessage: bool
    isContentOmitted: NotRequired[bool]
    editedTime: NotRequired[int]
    editorUserID: NotRequired[str]
    reactions: NotRequired[list[Reaction]]
    pinnedUserID: NotRequired[str]
    pinnedTime: NotRequired[int]
    repliedInfo: NotRequired[RepliedInfo]
    rootRepliedCount: NotRequired[int]
    revokeType: NotRequired[int]
    revokeStatus: NotRequired[int]
    revokeTimestamp: NotRequired[int]
    operatedUserID: NotRequired[str]
    originalMessageType: NotRequired[int]
    originalTextMessageContent: NotRequired[str]
    revokeExtendedData: NotRequired[str]


class Conversation(TypedDict):
    conversationID: str
    conversationName: str
    conversationAvatarUrl: NotRequired[str]
    type: int
    notificationStatus: int
    unreadMessageCount: int
    lastMessage: NotRequired[Message]
    orderKey: int
    isPinned: bool
    pinnedTime: int
    draft: str
    mentionedInfoList: list[Any]
    marks: list[int]
    readMessageSeq: int
    isMarkedUnread: NotRequired[bool]


class ReceiptInfo(OfConversation):
    status: int
    messageID: str
    readMemberCount: int
    unreadMemberCount: int
    deliveredMemberCount: int
    isSelfOperated: bool
    readTime: int


class UserInfo(TypedDict):
    userID: str
    userName: str
    userAvatarUrl: str
    userExtendedData: str


class UserStatus(TypedDict):
    userID: str
    onlineStatus: int
    onlinePlatforms: list[int]
    customStatus: str
    customStatusExpiredTime: int
    lastUpdateTime: int
    lastOnlineStatusUpdateTime: int
    lastCustomStatusUpdateTime: int


UserFullInfo = TypedDict(
    "UserFullInfo", {"baseInfo": UserInfo, "userAvatarUrl": str, "extendedData": str}
)
Privacy = TypedDict(
    "Privacy", {"hideReadReceipts": bool, "hideTyping": bool, "hideOnlineStatus": bool}
)


class UserRule(Privacy):
    offlinePushRule: dict[str, list[int]]


# Replies.
Empty = TypedDict("Empty", {})
OneMessage = TypedDict("OneMessage", {"message": Message})
Messages = TypedDict("Messages", {"messageList": list[Message]})
OneReaction = TypedDict("OneReaction", {"reaction": Reaction})
OneConversation = TypedDict("OneConversation", {"conversation": Conversation})
Conversations = TypedDict("Conversations", {"conversationList": list[Conversation]})
Unmarked = TypedDict("Unmarked", {"failedConversationInfos": list[OfConversation]})
Receipts = TypedDict("Receipts", {"infos": list[ReceiptInfo], "errorMessageIDs": list[str]})
ErrorUsers = TypedDict("ErrorUsers", {"errorUserList": list[ErrorUser]})
Blacklist = TypedDict("Blacklist", {"blacklist": list[UserInfo], "nextFlag": int})
InBlacklist = TypedDict("InBlacklist", {"isUserInBlacklist": bool})
UserName = TypedDict("UserName", {"userName": str})
AvatarUrl = TypedDict("AvatarUrl", {"userAvatarUrl": str})
ExtendedData = TypedDict("ExtendedData", {"extendedData": str})
CustomStatus = TypedDict("CustomStatus", {"customStatus": str})
SelfUser = TypedDict(
    "SelfUser", {"userFullInfo": UserFullInfo, "userRule": UserRule, "userStatus": UserStatus}
)
OwnInfo = TypedDict("OwnInfo", {"selfUserInfo": SelfUser})
Subscription = TypedDict("Subscription", {"userStatus": UserStatus, "subscribeExpiredTime": int})
Subscriptions = TypedDict("Subscriptions", {"userStatusSubscriptionList": list[Subscription]})
Total = TypedDict(
    "Total",
    {"unreadMessageCount": int, "unreadMessageCountIncludingMuted": int, "revision": int},
)


class LoggedIn(TypedDict):
    sessionID: str
    serverTime: int
    heartbeatIntervalMs: int
    totalUnreadMessageCount: int
    revision: int


class MessagesOf(Messages, OfConversation):
    pass


class ReadMessages(OfConversation):
    errorMessageIDs: list[str]


class ReactionUsers(OneMessage):
    userInfoList: list[dict[str, Any]]
    reactionType: str
    nextFlag: int
    totalCount: int
    userList: list[UserID]


class Root(TypedDict):
    state: int
    message: NotRequired[Message]
    senderUserID: str
    sentTime: int
    repliedCount: int


class Replies(Messages):
    nextFlag: int
    rootRepliedInfo: Root


class Changes(Conversations):
    reset: NotRequired[bool]
    blacklistChanged: NotRequired[bool]
    revision: int


class Users(ErrorUsers):
    userList: list[UserFullInfo]


class StatusList(ErrorUsers):
    userStatusList: list[UserStatus]


# Events.
Live = TypedDict("Live", {"isOfflineMessage": bool})
ConversationInfo = TypedDict(
    "ConversationInfo", {"event": int, "action": int, "conversation": Conversation}
)
PinInfo = TypedDict("PinInfo", {"pinStatus": int, "message": Message})
UserChange = TypedDict(
    "UserChange", {"userID": str, "reactionType": str, "action": int, "sumCount": int}
)
ReactionInfo = TypedDict(
    "ReactionInfo", {"message": Message, "userChangeInfoList": list[UserChange]}
)


class Revised(TypedDict):
    """The revision of the user's conversations, and the one before. Both the same: no change."""

    revision: int
    previousRevision: int


class MessagesReceived(Revised, Messages):
    fromConversationID: str
    info: Live


class MessagesChanged(Revised, Messages):
    pass


class ConversationChanged(Revised):
    infoList: list[ConversationInfo]


class TotalUpdated(Revised):
    totalUnreadMessageCount: int
    totalUnreadMessageCountIncludingMuted: int


class AllDeleted(Revised):
    count: int


class MessagesDeleted(Revised, Messages, OfConversation):
    messageDeleteType: int
    isDeleteConversationAllMessage: bool


class PinsChanged(Revised):
    infos: list[PinInfo]


class ReactionsChanged(Revised):
    reactions: list[Reaction]
    changeInfoList: list[ReactionInfo]


class RepliedCount(OfConversation):
    messageID: str
    count: int


class RepliedCountChanged(Revised):
    infos: list[RepliedCount]


class ReceiptsChanged(Revised):
    infos: list[ReceiptInfo]


class BlacklistChanged(Revised):
    userList: list[UserInfo]
    action: int


class UserInfoUpdated(Revised):
    info: UserFullInfo


class UserRuleUpdated(Revised):
    userRule: UserRule


class UserStatusUpdated(Revised):
    userStatusList: list[UserStatus]


class Typing(Revised):
    fromUserID: str
    isTyping: bool


class ConnectionStateChanged(Revised):
    state: int
    event: int
    extendedData: str
    sessionID: str


class CaughtUp(Revised):
    """All that changed was shown. With `reset`, no other conversations exist any more."""

    conversationIDs: list[str]
    reset: bool
    blacklistChanged: bool


@dataclass(frozen=True)
class Event(Generic[Name, Body]):
    name: Name
    body: Body


AnyEvent = (
    Event[Literal["peer_message_received"], MessagesReceived]
    | Event[Literal["conversation_changed"], ConversationChanged]
    | Event[Literal["conversation_total_unread_message_count_updated"], TotalUpdated]
    | Event[Literal["conversations_all_deleted"], AllDeleted]
    | Event[Literal["message_deleted"], MessagesDeleted]
    | Event[
        Literal["message_edited", "message_revoke_received", "message_replied_info_changed"],
        MessagesChanged,
    ]
    | Event[Literal["message_pin_status_changed"], PinsChanged]
    | Event[Literal["message_reactions_changed"], ReactionsChanged]
    | Event[Literal["message_replied_count_changed"], RepliedCountChanged]
    | Event[
        Literal["message_receipt_changed", "conversation_message_receipt_changed"],
        ReceiptsChanged,
    ]
    | Event[Literal["blacklist_changed"], BlacklistChanged]
    | Event[Literal["user_info_updated"], UserInfoUpdated]
    | Event[Literal["user_rule_updated"], UserRuleUpdated]
    | Event[Literal["user_status_updated"], UserStatusUpdated]
    | Event[Literal["typing"], Typing]
    | Event[Literal["connection_state_changed"], ConnectionStateChanged]
    | Event[Literal["catching_up"], Revised]  # of this client: it reads what it missed
    | Event[Literal["caught_up"], CaughtUp]
)
