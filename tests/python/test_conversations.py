"""What a user sets for conversations and deletes, in both encodings, and catching up with it."""

from client import ADDED, DELETED, DO_NOT_DISTURB, PEER, TEXT, UPDATED


def of(other):
    return {"conversationID": other.id, "conversationType": PEER}


def text(message):
    return {"type": TEXT, "message": message}


async def changes_since(user, revision):
    """The pages of the changes: whether they are all that there is, by ID, and the new revision."""
    by_id, first, last = {}, None, None
    while True:
        config = {"count": 1} | ({"nextConversation": last} if last else {})
        reply = await user.call("query_changes", {"revision": revision, "config": config})
        first = first or reply
        if not reply["conversationList"]:
            return first.get("reset", False), by_id, first["revision"]
        [last] = reply["conversationList"]
        by_id[last["conversationID"]] = last


async def test_each_setting_is_reported_and_stays(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        settings = [
            ("update_conversation_pinned_state", {"isPinned": True}, {"isPinned": True}),
            ("set_conversation_draft", {"draft": "Grüße, 世界! 👋🏽\n"}, None),
            ("set_conversation_unread", {"isMarkedUnread": True}, None),
        ]
        for method, body, shown in settings:
            assert await alice.call(method, of(bob) | body) == of(bob)
            event, conversation = await alice.conversation_event(bob.id)
            assert event == UPDATED
            assert conversation.items() >= (shown or body).items()
        mark = {"markType": 7, "enable": True, "conversationInfos": [of(bob)]}
        reply = await alice.call("set_conversation_mark", mark)
        assert reply == {"failedConversationInfos": []}
        _, conversation = await alice.conversation_event(bob.id)
        assert conversation["marks"] == [7]
        assert await alice.conversation(bob.id) == conversation
        await alice.received_nothing_more()
        await bob.received_nothing_more()


async def test_a_client_that_missed_events_is_right_again(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        is_reset, known, revision = await changes_since(alice, 0)
        assert (is_reset, known) == (False, {})
        await alice.send(bob, text("one"))
        await alice.conversation_event(bob.id)
        await alice.set_notification_status("carol", DO_NOT_DISTURB)
        await alice.conversation_event("carol")
        is_reset, known, revision = await changes_since(alice, revision)
        assert known.keys() == {bob.id, "carol"}
        assert await alice.call("delete_conversation", of(bob)) == of(bob)
        event, _ = await alice.conversation_event(bob.id)
        assert event == DELETED
        is_reset, known, revision = await changes_since(alice, revision)
        assert (is_reset, known.keys()) == (True, {"carol"})
        await alice.send(bob, text("two"))
        event, conversation = await alice.conversation_event(bob.id)
        assert event == ADDED
        is_reset, known, revision = await changes_since(alice, revision)
        assert (is_reset, known) == (False, {bob.id: conversation})
        assert revision == alice.revision
        # The messages were there all the time.
        assert [message["message"] for message in await alice.history(bob.id)] == ["one", "two"]
