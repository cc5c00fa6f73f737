"""The permissions of deploy/nats: each user is itself and nobody else, and peerd has enough."""

import asyncio

import nats.errors
import pytest
from client import DEADLINE_S, MESSAGE_RECEIVED, TEXT, MessagePack, User
from conftest import connection, credentials

FORBIDDEN_TO_PUBLISH = [
    "peer.api.bob.login",
    "peer.event.alice.conversation_changed",
    "peer.log.0.alice.bob",
    "peer.state.0.alice.session.1",
    "peer.part.0.alice.login",
    "peer.push.alice",
    "$JS.API.INFO",
    "$SRV.PING",
    "_INBOX_bob.1",
]
FORBIDDEN_TO_SUBSCRIBE = [
    "peer.event.bob.>",
    "peer.event.*.conversation_changed",
    "peer.api.alice.>",
    "_INBOX.>",
    "_INBOX_bob.>",
    ">",
]


async def refusal(url, user, act):
    """What the server says on the user's connection when it refuses `act`."""
    errors = asyncio.Queue()
    async with connection(url, error_cb=errors.put, **credentials(user)) as nc:
        await act(nc)
        return str(await asyncio.wait_for(errors.get(), DEADLINE_S)).lower()


@pytest.mark.parametrize("subject", FORBIDDEN_TO_PUBLISH)
async def test_alice_may_not_publish(guarded_url, subject):
    said = await refusal(guarded_url, "alice", lambda nc: nc.publish(subject, b""))
    assert f'permissions violation for publish to "{subject.lower()}"' in said


@pytest.mark.parametrize("subject", FORBIDDEN_TO_SUBSCRIBE)
async def test_alice_may_not_subscribe(guarded_url, subject):
    said = await refusal(guarded_url, "alice", lambda nc: nc.subscribe(subject))
    assert f'permissions violation for subscription to "{subject.lower()}"' in said


@pytest.mark.parametrize(
    "subject", ["_INBOX_alice.unasked", "peer.api.alice.login", "$JS.API.STREAM.DELETE.PEER_LOG_0"]
)
async def test_peerd_may_not_publish(guarded_url, subject):
    said = await refusal(guarded_url, "peerd", lambda nc: nc.publish(subject, b""))
    assert f'permissions violation for publish to "{subject.lower()}"' in said


async def test_nobody_connects_without_a_password(guarded_url):
    with pytest.raises(nats.errors.Error):
        async with connection(guarded_url):
            pass


async def test_with_these_permissions_alice_and_bob_can_chat(guarded_daemon):
    url = guarded_daemon.url
    async with (
        connection(url, inbox_prefix="_INBOX_alice", **credentials("alice")) as alice_nc,
        connection(url, inbox_prefix="_INBOX_bob", **credentials("bob")) as bob_nc,
    ):
        alice, bob = User(alice_nc, "alice", MessagePack), User(bob_nc, "bob", MessagePack)
        for user in (alice, bob):
            await user.listen()
            await user.login()
        sent = await alice.send(bob, {"type": TEXT, "message": "hello"})
        [received] = (await bob.event(MESSAGE_RECEIVED))["messageList"]
        assert received["messageID"] == sent["messageID"]
        [kept] = await alice.history(bob.id)
        assert kept["messageID"] == sent["messageID"]
