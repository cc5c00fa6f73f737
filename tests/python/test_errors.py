"""What peerd refuses: the code, the reason, and which check answers first."""

import pytest
from client import (
    BARRAGE,
    COMMAND,
    CUSTOM,
    DEADLINE_S,
    GROUP,
    PEER,
    TEXT,
    Json,
    MessagePack,
    Rejected,
    read_reply,
)

HELLO = {"type": TEXT, "message": "hello"}
TEXT_BYTES = 2048


async def rejection(call):
    with pytest.raises(Rejected) as rejected:
        await call
    return rejected.value


def send(message, to="somebody", **fields):
    return "send_peer_message", {"message": message, "toUserID": to, **fields}


def history(**config):
    config = {"reverse": True, **config}
    body = {"conversationID": "x", "conversationType": PEER, "config": config}
    return "query_history_message", body


INVALID = {
    "receiver missing": ("send_peer_message", {"message": HELLO}),
    "receiver empty": send(HELLO, to=""),
    "receiver too long": send(HELLO, to="x" * 65),
    "receiver not ASCII": send(HELLO, to="bøb"),
    "message missing": ("send_peer_message", {"toUserID": "somebody"}),
    "type not for peers": send({"type": BARRAGE, "message": "x"}),
    "text empty": send({"type": TEXT, "message": ""}),
    "text blank": send({"type": TEXT, "message": " \n\t"}),
    "text too long": send({"type": TEXT, "message": "é" * (TEXT_BYTES // 2) + "x"}),
    "custom blank": send({"type": CUSTOM, "message": "  ", "subType": 1}),
    "custom subtype": send({"type": CUSTOM, "message": "x", "subType": 201}),
    "searched content": send(
        {"type": CUSTOM, "message": "x", "subType": 1, "searchedContent": "x" * 65}
    ),
    "command too long": send({"type": COMMAND, "message": b"x" * (5 * 1024 + 1)}),
    "extended data": send(HELLO | {"extendedData": "x" * 1025}),
    "local message ID": send(HELLO | {"localMessageID": "x" * 65}),
    "priority": send(HELLO, config={"priority": 4}),
    "group": (
        "send_message",
        {"message": HELLO, "toConversationID": "somebody", "conversationType": GROUP},
    ),
    "count zero": history(count=0),
    "count too large": history(count=101),
    "status": (
        "set_conversation_notification_status",
        {"status": 3, "conversationID": "x", "conversationType": PEER},
    ),
}


async def test_invalid_parameters_are_refused(daemon):
    async with daemon.users("alice") as (alice,):
        for name, (method, body) in INVALID.items():
            rejected = await rejection(alice.call(method, body))
            assert (name, rejected.code) == (name, 6000001)
        assert (await rejection(alice.send(alice, HELLO))).code == 6000001
        await alice.received_nothing_more()


async def test_what_is_at_the_limit_is_accepted(daemon):
    async with daemon.users("alice", "bob") as (alice, bob):
        await alice.send(bob, {"type": TEXT, "message": "é" * (TEXT_BYTES // 2)})
        await alice.send(bob, {"type": COMMAND, "message": b"x" * (5 * 1024)})


@pytest.mark.raw
async def test_every_call_but_login_needs_a_session_and_says_so_first(daemon):
    async with daemon.users("alice", log_in=False) as (alice,):
        # The session is judged before the body is read.
        for body in (b"{}", b"{", b'{"conversationID": 5}'):
            reply = await alice.request("query_conversation", body, Json.content_type)
            with pytest.raises(Rejected) as rejected:
                read_reply(reply, Json)
            assert (rejected.value.code, rejected.value.reason) == (6000121, "not_logged_in")
        await alice.login()
        await alice.call("heartbeat")
        await alice.call("logout")
        assert (await rejection(alice.call("heartbeat"))).code == 6000121


async def test_an_unknown_method_is_refused_by_name(daemon):
    async with daemon.users("alice") as (alice,):
        rejected = await rejection(alice.call("do_what_i_mean"))
        assert (rejected.code, rejected.reason) == (6000001, "unknown_method")


@pytest.mark.raw
async def test_a_method_of_the_sdk_that_peerd_does_not_offer_is_refused_by_name(daemon):
    async with daemon.users("alice", "bob", log_in=False) as (alice, bob):
        await alice.login()
        for method in ("create_group", "enter_room", "call_invite", "query_friend_list"):
            rejected = await rejection(alice.call(method))
            assert (rejected.code, rejected.reason) == (6000013, "unsupported_method")
            assert (await rejection(bob.call(method))).code == 6000121


async def test_an_unknown_conversation_is_not_found(daemon):
    async with daemon.users("alice") as (alice,):
        rejected = await rejection(alice.conversation("nobody"))
        assert (rejected.code, rejected.reason) == (6000603, "conversation_not_found")


@pytest.mark.raw
@pytest.mark.parametrize("token", ["b%2eb", "b!b", "b%2", "b%41", "%00", "%C3%B8", "x" * 65])
async def test_only_the_one_spelling_of_a_user_is_accepted(daemon, token):
    async with daemon.users("alice") as (alice,):
        headers = {"Content-Type": Json.content_type}
        subject = f"peer.api.{token}.login"
        reply = await alice.nc.request(subject, b"{}", timeout=DEADLINE_S, headers=headers)
        with pytest.raises(Rejected) as rejected:
            read_reply(reply, Json)
        assert rejected.value.code == 6000001


@pytest.mark.raw
async def test_a_bad_body_is_refused_and_the_field_is_named(daemon):
    async with daemon.users("alice") as (alice,):
        for codec in (Json, MessagePack):
            body = {"message": HELLO, "toUserID": 7}
            reply = await alice.request("send_peer_message", codec.encode(body), codec.content_type)
            with pytest.raises(Rejected, match="toUserID") as rejected:
                read_reply(reply, codec)
            assert rejected.value.code == 6000001
            trailing = codec.encode({}) + codec.encode({})
            reply = await alice.request("heartbeat", trailing, codec.content_type)
            with pytest.raises(Rejected) as rejected:
                read_reply(reply, codec)
            assert rejected.value.code == 6000001


@pytest.mark.raw
async def test_the_reply_comes_in_the_encoding_of_the_request(daemon):
    async with daemon.users("alice") as (alice,):
        for codec in (Json, MessagePack):
            for content_type in (codec.content_type, None):
                reply = await alice.request("heartbeat", codec.encode({}), content_type)
                assert read_reply(reply, codec)["serverTime"] > 0
        # White space announces JSON too; an empty body is an empty object.
        assert read_reply(await alice.request("heartbeat", b' {"unknown": 1}'), Json)
        assert read_reply(await alice.request("heartbeat", b"", Json.content_type), Json)
