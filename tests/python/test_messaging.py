"""Messages, counts and history between two users, in both encodings."""

import asyncio
import time

import pytest
from client import (
    ADDED,
    BLACKLIST_CHANGED,
    BLOCKED,
    COMMAND,
    CONNECTION_CHANGED,
    CONVERSATION_ALL_MESSAGES_DELETED,
    CONVERSATION_CHANGED,
    CUSTOM,
    DO_NOT_DISTURB,
    DONE,
    IMAGE,
    MESSAGE_DELETED,
    MESSAGE_LIST_DELETED,
    MESSAGE_RECEIVED,
    NOTIFY,
    PEER,
    PINS_CHANGED,
    PROCESSING,
    REACTIONS_CHANGED,
    REPLIED_COUNT_CHANGED,
    REPLIED_INFO_CHANGED,
    RECEIPT_CHANGED,
    RECEIVE,
    SEND,
    SUCCESS,
    TEXT,
    TOTAL_UPDATED,
    UNBLOCKED,
    UPDATED,
    Rejected,
    User,
    totals,
)

UNICODE = "Grüße, 世界! 👋🏽 “ok”"
MESSAGES = {
    "text": {"type": TEXT, "message": UNICODE},
    "custom": {"type": CUSTOM, "message": '{"x":1}', "subType": 200, "searchedContent": "дом"},
    "image": {
        "type": IMAGE,
        "fileDownloadUrl": "https://files.example/a.png",
        "fileName": "ä.png",
        "fileSize": 123_456,
        "thumbnailDownloadUrl": "https://files.example/a-small.png",
        "largeImageDownloadUrl": "https://files.example/a-large.png",
    },
}
# A conversation that its user has changed nothing about.
UNTOUCHED = {
    "type": PEER,
    "notificationStatus": NOTIFY,
    "isPinned": False,
    "pinnedTime": 0,
    "draft": "",
    "mentionedInfoList": [],
    "marks": [],
}
COMMANDS_PER_SECOND = 30


def text(message, **fields):
    return {"type": TEXT, "message": message, **fields}


def ids(messages):
    return [message["messageID"] for message in messages]


def check_fields(actual, expected):
    """That `actual` says what `expected` does; it may say more."""
    assert {name: actual[name] for name in expected} == expected


def check_message(message, expected, direction, sender, other):
    """What every copy of a message must say to the side that sees it."""
    check_fields(message, expected)
    assert message["direction"] == direction
    assert message["senderUserID"] == sender.id
    assert message["conversationID"] == other.id
    assert message["conversationType"] == PEER
    assert message["sentStatus"] == SUCCESS
    assert message["receiptStatus"] == 0
    assert message["isServerMessage"] is False
    assert isinstance(message["messageID"], str) and message["messageID"]
    assert isinstance(message["orderKey"], int) and 0 < message["orderKey"] < 2**53
    assert abs(message["timestamp"] / 1000 - time.time()) < 60


async def received(user):
    """The message that the next event brings, live."""
    body = await user.event(MESSAGE_RECEIVED)
    assert body["info"] == {"isOfflineMessage": False}
    [message] = body["messageList"]
    assert body["fromConversationID"] == message["conversationID"]
    return message


async def received_and_counted(user, other, unread, total):
    """The three events that a message brings to a receiver that did not mute its sender."""
    message = await received(user)
    _, conversation = await user.conversation_event(other.id)
    assert conversation["unreadMessageCount"] == unread
    assert conversation["lastMessage"] == message
    assert await user.total_event() == total
    return message


async def test_every_kind_of_stored_message_reaches_both_sides_in_order(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        copies = []
        for sequence, (kind, content) in enumerate(MESSAGES.items(), 1):
            expected = content | {
                "localMessageID": f"local-{kind}",
                "extendedData": f"über {kind}",
            }
            sent = await alice.send(bob, expected)
            expected |= {"messageSeq": sequence}
            change = ADDED if sequence == 1 else UPDATED

            check_message(sent, expected, SEND, alice, bob)
            event, conversation = await alice.conversation_event(bob.id)
            assert event == change
            assert conversation["lastMessage"] == sent
            assert conversation["unreadMessageCount"] == 0

            message = await received(bob)
            check_message(message, expected, RECEIVE, alice, alice)
            assert message == sent | {"direction": RECEIVE, "conversationID": alice.id}
            event, conversation = await bob.conversation_event(alice.id)
            assert event == change
            unread = {"unreadMessageCount": sequence, "lastMessage": message}
            check_fields(conversation, UNTOUCHED | unread | {"conversationID": alice.id})
            assert isinstance(conversation["orderKey"], int)
            assert await bob.total_event() == (sequence, sequence)
            copies.append((sent, message))

        await alice.received_nothing_more()
        await bob.received_nothing_more()
        order_keys = [sent["orderKey"] for sent, _ in copies]
        assert order_keys == sorted(set(order_keys))
        assert await alice.history(bob.id) == [sent for sent, _ in copies]
        assert await bob.history(alice.id) == [message for _, message in copies]


async def test_a_command_is_delivered_live_and_leaves_no_trace(daemon):
    data = bytes(range(256))
    async with daemon.users("alice", "bob") as (alice, bob):
        sent = await alice.send(bob, {"type": COMMAND, "message": data})
        message = await received(bob)
        for copy, direction, other in ((sent, SEND, bob), (message, RECEIVE, alice)):
            check_message(copy, {"type": COMMAND}, direction, alice, other)
            assert daemon.codec.bytes_of(copy["message"]) == data
        await alice.received_nothing_more()
        await bob.received_nothing_more()
        assert await bob.total() == (0, 0)
        assert await bob.history(alice.id) == []
        with pytest.raises(Rejected) as rejected:
            await bob.conversation(alice.id)
        assert rejected.value.code == 6000603


async def test_a_muted_conversation_counts_but_does_not_move_the_total(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        await alice.send(bob, text("one"))
        await received_and_counted(bob, alice, 1, (1, 1))

        await bob.set_notification_status(alice.id, DO_NOT_DISTURB)
        _, conversation = await bob.conversation_event(alice.id)
        assert conversation["notificationStatus"] == DO_NOT_DISTURB
        assert await bob.total_event() == (0, 1)

        await alice.send(bob, text("two"))
        await received(bob)
        _, conversation = await bob.conversation_event(alice.id)
        assert conversation["unreadMessageCount"] == 2
        # The next event is the fence, so no total was published.
        await bob.received_nothing_more()
        assert await bob.total() == (0, 2)

        await bob.set_notification_status(alice.id, DO_NOT_DISTURB)
        await bob.received_nothing_more()

        await bob.set_notification_status(alice.id, NOTIFY)
        _, conversation = await bob.conversation_event(alice.id)
        assert conversation["notificationStatus"] == NOTIFY
        assert await bob.total_event() == (2, 2)


async def test_clearing_empties_one_count_or_all(daemon):
    async with daemon.users("alice", "bob", "carol") as (alice, bob, carol):
        await alice.send(bob, text("one"))
        await received_and_counted(bob, alice, 1, (1, 1))
        await carol.send(bob, text("two"))
        await received_and_counted(bob, carol, 1, (2, 2))
        await carol.send(bob, text("three"))
        await received_and_counted(bob, carol, 2, (3, 3))

        await bob.clear_unread(alice.id)
        _, conversation = await bob.conversation_event(alice.id)
        assert conversation["unreadMessageCount"] == 0
        assert await bob.total_event() == (2, 2)
        await bob.clear_unread(alice.id)
        await bob.received_nothing_more()

        unread = {"config": {"count": 100}, "option": {"isOnlyUnreadConversation": True}}
        [conversation] = (await bob.call("query_conversation_list", unread))["conversationList"]
        assert conversation["conversationID"] == carol.id

        assert await bob.call("clear_conversation_total_unread_message_count") == {}
        _, conversation = await bob.conversation_event(carol.id)
        assert conversation["unreadMessageCount"] == 0
        assert await bob.total_event() == (0, 0)
        assert await bob.total() == (0, 0)
        await bob.received_nothing_more()


async def test_a_message_that_asks_not_to_be_counted_is_not(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        await alice.send(bob, text("silent"), disableUnreadMessageCount=True)
        assert (await bob.conversation(alice.id))["unreadMessageCount"] == 0
        await alice.send(bob, text("loud"))
        assert (await bob.conversation(alice.id))["unreadMessageCount"] == 1


async def test_history_pages_both_ways_with_none_missed_and_none_doubled(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        sent = []
        for i in range(250):
            # Turns of uneven length, so that pages of either side never line up.
            sender, other = (alice, bob) if i % 7 < 4 else (bob, alice)
            sent.append(await sender.send(other, text(f"message {i}")))
        for sender in (alice, bob):
            own = [message for message in sent if message["senderUserID"] == sender.id]
            assert [message["messageSeq"] for message in own] == list(range(1, len(own) + 1))

        for user, other in ((alice, bob), (bob, alice)):
            for count in (100, 32, 7):
                for reverse in (True, False):
                    history = await user.history(other.id, count, reverse)
                    assert ids(history) == ids(sent)
        newest = await alice.page(bob.id, 10, reverse=True)
        assert ids(newest) == ids(sent[-10:])
        # The whole message of a page says where to go on as well as its messageID does.
        before = await alice.page(bob.id, 10, reverse=True, next_message=newest[0])
        assert ids(before) == ids(sent[-20:-10])


async def test_the_conversation_list_pages_by_the_newest_message(daemon):
    async with daemon.users("bob", "carol", "dave", "erin", "frank") as (bob, *others):
        for other in others:
            await other.send(bob, text("hello"))
        await others[0].send(bob, text("hello again"))
        expected = [user.id for user in (others[0], *reversed(others[1:]))]
        for count in (1, 3, 100):
            listed, config = [], {"count": count}
            while True:
                reply = await bob.call("query_conversation_list", {"config": config})
                if not (page := reply["conversationList"]):
                    break
                assert len(page) <= count
                listed += page
                config = {"count": count, "nextConversation": page[-1]}
            assert [conversation["conversationID"] for conversation in listed] == expected


async def test_deleting_takes_messages_from_one_side_only(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        sent = []
        for i in range(1, 5):
            sent.append(await alice.send(bob, text(f"message {i}")))
            await received_and_counted(bob, alice, i, (i, i))

        gone = {"messageID": sent[1]["messageID"]}
        conversation = {"conversationID": alice.id, "conversationType": PEER}
        delete = {"messageList": [gone], **conversation}
        assert await bob.call("delete_messages", delete) == {}
        event, total = await events_of_deletion(bob, alice)
        assert event["messageDeleteType"] == MESSAGE_LIST_DELETED
        assert event["isDeleteConversationAllMessage"] is False
        assert ids(event["messageList"]) == [gone["messageID"]]
        assert total == (3, 3)
        assert ids(await bob.history(alice.id, 2)) == ids([sent[0], *sent[2:]])
        assert ids(await alice.history(bob.id, 2)) == ids(sent)

        assert await bob.call("delete_messages", delete) == {}
        await bob.received_nothing_more()

        assert await bob.call("delete_all_message", conversation) == {}
        event, total = await events_of_deletion(bob, alice)
        assert event["messageDeleteType"] == CONVERSATION_ALL_MESSAGES_DELETED
        assert event["isDeleteConversationAllMessage"] is True
        assert total == (0, 0)
        assert await bob.history(alice.id) == []
        assert ids(await alice.history(bob.id)) == ids(sent)

        sent.append(await alice.send(bob, text("afterwards")))
        await received_and_counted(bob, alice, 1, (1, 1))
        assert ids(await bob.history(alice.id)) == ids(sent[-1:])
        # Alice got events of what she sent, and none of what bob deleted.
        for message in sent:
            _, conversation = await alice.conversation_event(bob.id)
            assert conversation["lastMessage"] == message
        await alice.received_nothing_more()


async def events_of_deletion(user, other):
    """The events of a deletion that lowered the total: what was deleted, and the new total."""
    events = [await user.next_event() for _ in range(3)]
    # The contract orders the conversation before the total, and leaves the third its place.
    names = [name for name, _ in events if name != MESSAGE_DELETED]
    assert names == [CONVERSATION_CHANGED, TOTAL_UPDATED]
    bodies = dict(events)
    [info] = bodies[CONVERSATION_CHANGED]["infoList"]
    assert info["conversation"]["conversationID"] == other.id
    event = bodies[MESSAGE_DELETED]
    check_fields(event, {"conversationID": other.id, "conversationType": PEER})
    return event, totals(bodies[TOTAL_UPDATED])


@pytest.mark.raw
async def test_a_repeated_send_is_stored_and_published_once(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        message = text("once", localMessageID="local-1")
        body = daemon.codec.encode({"message": message, "toUserID": bob.id})
        first, again = [
            await alice.request("send_peer_message", body, daemon.codec.content_type)
            for _ in range(2)
        ]
        assert "Peer-Duplicate" not in first.headers
        assert again.headers["Peer-Duplicate"] == "true"
        assert daemon.codec.decode(again.data) == daemon.codec.decode(first.data)

        with pytest.raises(Rejected) as rejected:
            await alice.send(bob, message | {"message": "changed"})
        assert (rejected.value.code, rejected.value.reason) == (6000001, "local_message_id_reused")

        await received_and_counted(bob, alice, 1, (1, 1))
        await bob.received_nothing_more()
        assert len(await bob.history(alice.id)) == 1


@pytest.mark.raw
async def test_what_came_while_away_is_replayed_at_login(daemon):
    async with daemon.users("alice", "carol") as (alice, carol):
        # Bob listens only afterwards, so that nothing published live is taken for the replay.
        bob = User(carol.nc, f"bob-of-{alice.id}", daemon.codec)
        sent = [await alice.send(bob, text(f"message {i}")) for i in range(3)]
        await bob.listen()
        assert (await bob.login())["totalUnreadMessageCount"] == 3
        replayed = []
        while len(replayed) < len(sent):
            event = await bob.event(MESSAGE_RECEIVED)
            assert event["info"] == {"isOfflineMessage": True}
            replayed += event["messageList"]
        assert ids(replayed) == ids(sent)


@pytest.mark.raw
async def test_each_device_gets_what_it_missed(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        sent = []
        for i in range(1, 4):
            sent.append(await alice.send(bob, text(f"message {i}")))
            await received_and_counted(bob, alice, i, (i, i))
        for device, after, missed in (
            ("phone", 0, sent),
            ("tablet", sent[0]["orderKey"], sent[1:]),
            ("phone", sent[2]["orderKey"], []),
            ("phone", sent[1]["orderKey"], sent[2:]),
        ):
            await bob.login(deviceID=device, replayAfter=after)
            replayed = []
            while len(replayed) < len(missed):
                event = await bob.event(MESSAGE_RECEIVED)
                assert event["info"] == {"isOfflineMessage": True}
                replayed += event["messageList"]
            assert ids(replayed) == ids(missed)
        await bob.received_nothing_more()


@pytest.mark.raw
async def test_past_the_bound_of_sessions_the_earliest_gets_an_event_that_it_ended(daemon):
    async with daemon.users("alice", log_in=False) as (alice,):
        sessions = [await alice.login() for _ in range(10)]
        # A device's next session takes the place of the one before.
        await alice.login(deviceID="phone")
        kicked = await alice.event(CONNECTION_CHANGED)
        check_fields(kicked, {"state": 0, "event": 4, "sessionID": sessions[0]["sessionID"]})
        assert kicked["extendedData"] == "{}"
        for _ in range(3):
            await alice.login(deviceID="phone")
        await alice.received_nothing_more()


async def test_the_block_list_shows_users_in_the_order_of_blocking(daemon):
    async with daemon.users("alice", "bob", "carol") as (alice, bob, carol):

        def info(user):
            empty = {"userAvatarUrl": "", "userExtendedData": ""}
            return {"userID": user.id, "userName": user.id, **empty}

        for other in (carol, alice):
            body = {"userIDs": [other.id]}
            assert await bob.call("add_users_to_blacklist", body) == {"errorUserList": []}
            event = await bob.event(BLACKLIST_CHANGED)
            check_fields(event, {"userList": [info(other)], "action": BLOCKED})
        first = await bob.call("query_blacklist", {"config": {"count": 1}})
        assert first["blacklist"] == [info(carol)]
        assert isinstance(first["nextFlag"], int) and 0 < first["nextFlag"] < 2**53
        assert await bob.call("remove_users_from_blacklist", {"userIDs": [carol.id]})
        event = await bob.event(BLACKLIST_CHANGED)
        check_fields(event, {"userList": [info(carol)], "action": UNBLOCKED})
        config = {"count": 1, "nextFlag": first["nextFlag"]}
        last = await bob.call("query_blacklist", {"config": config})
        assert last == {"blacklist": [info(alice)], "nextFlag": 0}


async def test_both_users_see_reactions(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        sent = await alice.send(bob, text("hello"))
        message = await received_and_counted(bob, alice, 1, (1, 1))
        await alice.conversation_event(bob.id)

        async def reacted(user, other):
            event = await user.event(REACTIONS_CHANGED)
            # It is the last message.
            await user.conversation_event(other.id)
            return event

        def body(user, kind, **config):
            named = {"messageID": sent["messageID"], "conversationID": user.id}
            return {"reactionType": kind, "message": named, "config": config}

        reply = await bob.call("add_message_reaction", body(alice, "👋🏽"))
        expected = {
            "reactionType": "👋🏽",
            "conversationID": alice.id,
            "conversationType": PEER,
            "messageID": message["messageID"],
            "totalCount": 1,
            "isSelfIncluded": True,
            "userList": [{"userID": bob.id}],
            "sumCount": 1,
        }
        assert reply == {"reaction": expected}
        event = await reacted(bob, alice)
        assert event["reactions"] == [expected]
        change = {"userID": bob.id, "reactionType": "👋🏽", "action": 0, "sumCount": 1}
        assert event["changeInfoList"][0]["userChangeInfoList"] == [change]
        event = await reacted(alice, bob)
        seen = expected | {"conversationID": bob.id, "isSelfIncluded": False}
        assert event["reactions"] == [seen]
        assert event["changeInfoList"][0]["message"] == sent | {"reactions": [seen]}
        with pytest.raises(Rejected) as refused:
            await bob.call("add_message_reaction", body(alice, "👋🏽"))
        assert (refused.value.code, refused.value.reason) == (6000280, "reaction_unchanged")
        await bob.call("add_message_reaction", body(alice, "👋🏽", increaseCount=2))
        await reacted(bob, alice)
        await bob.call("delete_message_all_reactions", body(alice, ""))
        event = await reacted(bob, alice)
        change = {"userID": bob.id, "reactionType": "👋🏽", "action": 1, "sumCount": 0}
        assert event["changeInfoList"][0]["userChangeInfoList"] == [change]
        assert (await bob.history(alice.id))[0] == message


async def test_both_users_see_pinned_messages(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        sent = await alice.send(bob, text("hello"))
        message = await received_and_counted(bob, alice, 1, (1, 1))
        await alice.conversation_event(bob.id)

        def body(other, is_pinned):
            named = {"messageID": sent["messageID"], "conversationID": other.id}
            return {"message": named, "isPinned": is_pinned}

        async def changed(status, by):
            pinned = {}
            for user, other, shown in ((alice, bob, sent), (bob, alice, message)):
                event = await user.event(PINS_CHANGED)
                # It is the last message.
                await user.conversation_event(other.id)
                info = event["infos"][0]
                if by:
                    at = info["message"]["pinnedTime"]
                    pinned = {"pinnedUserID": by.id, "pinnedTime": at}
                assert event["infos"] == [{"pinStatus": status, "message": shown | pinned}]
                listed = {"conversationID": other.id, "conversationType": PEER}
                listed = await user.call("query_pinned_message_list", listed)
                assert listed == {"messageList": [shown | pinned] if by else []}
                assert await user.history(other.id) == [shown | pinned]

        assert await bob.call("pin_message", body(alice, True)) == {}
        await changed(1, bob)
        assert await alice.call("pin_message", body(bob, True)) == {}
        await changed(2, alice)
        assert await bob.call("pin_message", body(alice, False)) == {}
        await changed(0, None)
        with pytest.raises(Rejected) as refused:
            await alice.call("pin_message", body(bob, False))
        assert (refused.value.code, refused.value.reason) == (6000208, "not_pinned")


async def test_a_reply_shows_its_original_as_it_is(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        sent = await alice.send(bob, text("Coffee?"))
        original = await received_and_counted(bob, alice, 1, (1, 1))
        await alice.conversation_event(bob.id)
        named = {"messageID": original["messageID"], "conversationID": alice.id}
        body = {"message": text("Yes"), "toOriginalMessage": named}
        reply = (await bob.call("reply_message", body))["message"]
        info = {
            "state": 0,
            "messageInfo": text("Coffee?"),
            "senderUserID": alice.id,
            "sentTime": sent["timestamp"],
            "messageID": sent["messageID"],
            "messageSeq": 1,
        }
        assert reply["repliedInfo"] == info
        seen = await received_and_counted(alice, bob, 1, (1, 1))
        assert seen["repliedInfo"] == info
        await bob.conversation_event(alice.id)
        for user, other in ((alice, bob), (bob, alice)):
            [counted] = (await user.event(REPLIED_COUNT_CHANGED))["infos"]
            expected = {
                "messageID": sent["messageID"],
                "conversationID": other.id,
                "conversationType": PEER,
                "count": 1,
            }
            assert counted == expected
            root = (await user.history(other.id))[0]
            assert root["rootRepliedCount"] == 1
            named = {"messageID": reply["messageID"], "conversationID": other.id}
            page = {"message": named, "config": {"count": 10}}
            tree = await user.call("query_message_replied_list", page)
            assert [shown["messageID"] for shown in tree["messageList"]] == [reply["messageID"]]
            assert tree["nextFlag"] == 0
            check_fields(tree["rootRepliedInfo"], {"state": 0, "message": root, "repliedCount": 1})
        revocation = {"messageID": sent["messageID"], "conversationID": bob.id}
        await alice.call("revoke_message", {"message": revocation})
        info |= {"state": 1, "messageInfo": {"type": 31}}
        for user, other in ((alice, bob), (bob, alice)):
            await user.event("message_revoke_received")
            [changed] = (await user.event(REPLIED_INFO_CHANGED))["messageList"]
            assert changed["repliedInfo"] == info
            assert (await user.history(other.id))[-1] == changed


async def test_a_receipt_is_shown_to_both_and_changes_no_count(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        sent = await alice.send(bob, text("read this"), hasReceipt=True)
        assert sent["receiptStatus"] == PROCESSING
        await alice.conversation_event(bob.id)
        await bob.event(MESSAGE_RECEIVED)
        await bob.conversation_event(alice.id)
        await bob.total_event()
        body = {"conversationID": alice.id, "conversationType": PEER}
        for _ in range(2):
            # The second time there is nothing to confirm.
            assert await bob.call("send_conversation_message_receipt_read", body) == body
        for user, other, own in ((alice, bob, False), (bob, alice, True)):
            [info] = (await user.event(RECEIPT_CHANGED))["infos"]
            expected = {
                "status": DONE,
                "messageID": sent["messageID"],
                "conversationID": other.id,
                "readMemberCount": 0 if own else 1,
                "isSelfOperated": own,
            }
            check_fields(info, expected)
            await user.received_nothing_more()
            [message] = await user.history(other.id)
            assert message["receiptStatus"] == DONE
        assert (await bob.conversation(alice.id))["unreadMessageCount"] == 1
        query = {"conversationID": bob.id, "messageList": [sent]}
        reply = await alice.call("query_message_receipts_info", query)
        check_fields(reply["infos"][0], {"status": DONE, "readMemberCount": 1})
        assert reply["errorMessageIDs"] == []


async def test_a_user_id_is_percent_encoded_in_subjects(daemon):
    async with daemon.users("alice", "b. o#b@x") as (alice, bob):
        sent = await alice.send(bob, text("hello"))
        message = await received_and_counted(bob, alice, 1, (1, 1))
        assert sent["conversationID"] == bob.id
        assert ids(await bob.history(alice.id)) == [message["messageID"]]


@pytest.mark.raw
async def test_commands_over_the_rate_are_refused_with_the_time_to_retry(daemon):
    command = {"type": COMMAND, "message": b"tick"}
    async with daemon.users("alice", "bob") as (alice, bob):
        start = time.monotonic()
        outcomes = await asyncio.gather(
            *(alice.send(bob, command) for _ in range(5 * COMMANDS_PER_SECOND)),
            return_exceptions=True,
        )
        elapsed_s = time.monotonic() - start
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for rejection in refused:
            assert isinstance(rejection, Rejected), rejection
            assert (rejection.code, rejection.reason) == (6000005, "rate_limited")
            assert 0 < rejection.retry_after_ms <= 1000
        accepted = len(outcomes) - len(refused)
        # However slow the machine: this many at most in so many windows of a second.
        assert COMMANDS_PER_SECOND <= accepted
        assert accepted <= COMMANDS_PER_SECOND * (int(elapsed_s) + 1)

        await asyncio.sleep(max((r.retry_after_ms for r in refused), default=0) / 1000)
        await alice.send(bob, command)
