"""Calls as an application of the SDK makes them, for each kind of message and setting.

A call has the positional arguments of the SDK's method, which are sent under the names of its
parameters, each object with all fields that the typings require.
"""

from client import MessagePack
from conformance import snake_case

PEER = 0
TEXT, COMMAND, MULTIPLE, IMAGE, FILE, AUDIO, VIDEO = 1, 2, 10, 11, 12, 13, 14
COMBINE, CUSTOM = 100, 200
PLATFORMS = (1, 2, 3, 4, 5, 6, 7, 9, 10, 32)
LOW, MEDIUM, HIGH = 1, 2, 3
URL = "https://files.example/a"

MEDIA = {"fileDownloadUrl": URL, "fileName": "a.bin", "fileSize": 123_456}
PICTURE = MEDIA | {
    "type": IMAGE,
    "thumbnailDownloadUrl": f"{URL}-small",
    "largeImageDownloadUrl": f"{URL}-large",
    "originalImageWidth": 4000,
    "originalImageHeight": 3000,
    "largeImageWidth": 800,
    "largeImageHeight": 600,
    "thumbnailWidth": 80,
    "thumbnailHeight": 60,
}
FILM = MEDIA | {
    "type": VIDEO,
    "videoDuration": 12,
    "videoFirstFrameDownloadUrl": f"{URL}-frame",
    "videoFirstFrameWidth": 640,
    "videoFirstFrameHeight": 360,
}
SONG = MEDIA | {"type": AUDIO, "audioDuration": 34}
CUSTOMIZED = {"type": CUSTOM, "message": "{}", "subType": 7, "searchedContent": "seven"}
MESSAGES = [
    {"type": TEXT, "message": "Hello", "extendedData": "{}", "localMessageID": "local-1"},
    {"type": COMMAND, "message": b"\x00\xff"},
    CUSTOMIZED,
    PICTURE | {"fileUID": "file-1"},
    MEDIA | {"type": FILE, "fileUID": "file-2"},
    SONG | {"fileUID": "file-3"},
    FILM | {"fileUID": "file-4"},
    {
        "type": MULTIPLE,
        "messageInfoList": [
            {"type": TEXT, "message": "Pictures:"},
            PICTURE,
            FILM,
            SONG,
            MEDIA | {"type": FILE},
            CUSTOMIZED,
        ],
    },
    {
        "type": COMBINE,
        "title": "Talk",
        "summary": "Hello",
        "messageList": [
            {"type": TEXT, "message": "Hello", "messageID": "1", "senderUserID": "erin"},
            {"type": COMBINE, "title": "Inner", "summary": "A", "messageList": [PICTURE]},
        ],
    },
]
PUSH = {
    "title": "Erin",
    "content": "Hello",
    "payload": "{}",
    "resourcesID": "sound",
    "threadID": "erin",
    "enableBadge": True,
    "badgeIncrement": 1,
}


def config_of(priority, **more):
    return {"priority": priority} | more


class Sdk:
    """The SDK's methods for one user."""

    def __init__(self, user, typings):
        self.user, self.typings = user, typings

    async def __call__(self, method, *arguments):
        parameters = self.typings.methods[method]["parameters"]
        body = dict(zip(parameters, arguments))
        return await self.user.call(snake_case(method), body)


async def make(nc, typings, new_user):
    """Makes all calls; `new_user` gives users whose calls are recorded."""
    erin, frank = (Sdk(new_user(nc, name, MessagePack), typings) for name in ("erin", "frank"))
    for platform in PLATFORMS:
        await erin.user.login(platform=str(platform), deviceID=f"device-{platform}")
    await frank.user.login()
    await profiles(erin, frank)
    await messages(erin, frank)
    await conversations(frank)
    await deletions(frank)
    await erin("logout")


async def profiles(erin, frank):
    await erin("updateUserName", "Erin")
    await erin("updateUserAvatarUrl", f"{URL}-erin")
    await erin("updateUserExtendedData", "{}")
    await erin("querySelfUserInfo")
    await frank("queryUsersInfo", ["erin", "nobody"], {"isQueryFromServer": True})
    await frank("addUsersToBlacklist", ["erin", "frank"])
    await frank("checkUserIsInBlacklist", "erin")
    await frank("queryBlacklist", {"nextFlag": 0, "count": 10})
    await frank("removeUsersFromBlacklist", ["erin"])


async def messages(erin, frank):
    """Each kind of message, then reading, editing and revoking them."""
    sent = []
    for position, message in enumerate(MESSAGES):
        config = config_of(
            (LOW, MEDIUM, HIGH)[position % 3],
            pushConfig=PUSH,
            hasReceipt=message["type"] != COMMAND,
            isNotifyMentionedUsers=False,
            isRetrySend=False,
            disableUnreadMessageCount=position == 2,
            isAllowMultipleMessagePartialFailed=False,
        )
        reply = await erin("sendMessage", message, "frank", PEER, config)
        sent.append(reply["message"])
    history = {"count": 100, "reverse": True, "mode": 1}
    shown = (await frank("queryHistoryMessage", "erin", PEER, history))["messageList"]
    await frank("sendConversationMessageReceiptRead", "erin", PEER)
    await frank("queryMessageReceiptsInfo", shown[:2], "erin", PEER)
    await frank("queryMessages", [1, 2], "erin", PEER)
    await frank("queryCombineMessageDetail", sent[-1] | {"conversationID": "erin"})
    await erin("editMessage", sent[0] | {"message": "Hello!"}, {})
    await erin("queryHistoryMessage", "frank", PEER, history | {"nextMessage": sent[1]})
    seen = sent[0] | {"conversationID": "erin"}
    for kind in ("+1", "heart"):
        await frank("addMessageReaction", kind, seen, {"increaseCount": 0})
    users = {"nextFlag": 0, "count": 0, "reactionType": "+1"}
    await erin("queryMessageReactionUserList", sent[0], users)
    await frank("deleteMessageReaction", "+1", seen)
    await frank("deleteMessageAllReactions", seen)
    await frank("pinMessage", seen, True, {"disableAutoReplace": False})
    await erin("pinMessage", sent[0], True)
    await frank("queryPinnedMessageList", "erin", PEER)
    await erin("pinMessage", sent[0], False)
    revocation = {"pushConfig": PUSH, "revokeExtendedData": "sorry"}
    await erin("revokeMessage", sent[0], revocation)


async def conversations(frank):
    here = ("erin", PEER)
    for status in (2, 1):
        await frank("setConversationNotificationStatus", status, *here)
    await frank("updateConversationPinnedState", True, *here)
    await frank("setConversationDraft", "Dear Erin,", *here)
    marked = [{"conversationID": other, "conversationType": PEER} for other in ("erin", "frank")]
    await frank("setConversationMark", 3, True, marked)
    for pinned_filter in (0, 1, 2):
        option = {
            "conversationTypes": [PEER],
            "marks": [],
            "isOnlyUnreadConversation": False,
            "pinnedFilter": pinned_filter,
        }
        await frank("queryConversationList", {"count": 10}, option)
    shown = (await frank("queryConversation", *here))["conversation"]
    shown = shown | {"conversationAlias": ""}
    await frank("queryConversationPinnedList", {"nextConversation": shown, "count": 10})
    counted = {"conversationTypes": [PEER], "marks": [3]}
    await frank("queryConversationTotalUnreadMessageCount", counted)
    await frank("clearConversationUnreadMessageCount", *here)
    await frank("clearConversationTotalUnreadMessageCount")


async def deletions(frank):
    here = ("erin", PEER)
    everywhere = {"isAlsoDeleteServerMessage": True}
    page = {"count": 1, "reverse": True, "mode": 0}
    newest = (await frank("queryHistoryMessage", *here, page))["messageList"]
    await frank("deleteMessages", newest, *here, everywhere)
    await frank("deleteAllMessage", *here, everywhere)
    await frank("sendMessage", MESSAGES[0], *here, config_of(LOW))
    await frank("deleteAllConversationMessages", everywhere)
    await frank("deleteConversation", *here, {"isAlsoDeleteServerConversation": True})
    await frank("sendMessage", MESSAGES[2], *here, config_of(LOW))
    await frank("deleteAllConversations", {"isAlsoDeleteServerConversation": True})
