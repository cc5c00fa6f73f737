"""The permissions of each configuration in deploy/nats: what alice must be refused, and that peerd,
the users and a push gateway have enough for their work.

A new configuration is a line in `CONFIGURATIONS`, and gets every attempt.
"""

import asyncio
import contextlib
import json
import os
import re
import subprocess

import nats.errors
import pytest
from client import DEADLINE_S, MESSAGE_RECEIVED, TEXT, Json, MessagePack, User
from conftest import ROOT, connection
from deployments import deployed, scopes
from nkey import Operator
from refusals import (
    GATEWAY_PUBLISHES,
    GATEWAY_SUBSCRIBES,
    PEERD_PUBLISHES,
    PEERD_SUBSCRIBES,
    PUBLISHES,
    QUEUES,
    REPLIES,
    SUBSCRIBES,
)

CONFIGURATIONS = [
    ("nats-server", "nats"),
    ("mapping", "nats"),
    ("websocket", "nats"),
    ("websocket", "websocket"),
    ("container", "websocket"),
    ("mqtt", "nats"),
    ("tls", "nats"),
    ("tls", "websocket"),
    ("cluster", "nats"),
    ("accounts", "nats"),
    ("leaf", "nats"),
    ("jwt", "nats"),
]


@pytest.fixture(scope="module", params=CONFIGURATIONS, ids="-".join)
def deployment(request, tmp_path_factory):
    name, listener = request.param
    with deployed(tmp_path_factory.mktemp(name), name, listener) as running:
        yield running


@pytest.fixture(scope="module", params=["gateway", "jwt"])
def with_gateway(request, tmp_path_factory):
    """A configuration with the NATS user of a push gateway."""
    with deployed(tmp_path_factory.mktemp("gateway"), request.param) as running:
        yield running


@contextlib.asynccontextmanager
async def chatting(deployment):
    """Alice and bob, logged in, each over a connection of its own."""
    async with deployment.connect("alice") as first, deployment.connect("bob") as second:
        alice, bob = User(first, "alice", Json), User(second, "bob", MessagePack)
        for user in (alice, bob):
            await user.listen()
            await user.login()
        yield alice, bob
        for user in (alice, bob):
            await user.call("logout")


async def refusal(deployment, user, act):
    """The server's error on the user's connection when it refuses `act`."""
    errors = asyncio.Queue()
    async with deployment.connect(user, error_cb=errors.put) as nc:
        await act(nc)
        return str(await asyncio.wait_for(errors.get(), DEADLINE_S)).lower()


async def may_not_publish(deployment, user, subject):
    said = await refusal(deployment, user, lambda nc: nc.publish(subject, b"{}"))
    subject = deployment.refused(subject.lower())
    assert re.search(rf'permissions violation for publish to "{subject}"', said), said


async def may_not_subscribe(deployment, user, subject, queue=""):
    said = await refusal(deployment, user, lambda nc: nc.subscribe(subject, queue=queue))
    assert f'permissions violation for subscription to "{subject.lower()}"' in said


@pytest.mark.parametrize("subject", PUBLISHES)
async def test_alice_may_not_publish(deployment, subject):
    await may_not_publish(deployment, "alice", subject)


@pytest.mark.parametrize("subject", SUBSCRIBES)
async def test_alice_may_not_subscribe(deployment, subject):
    await may_not_subscribe(deployment, "alice", subject)


@pytest.mark.parametrize("subject", QUEUES)
async def test_alice_may_not_take_calls_from_peerd(deployment, subject):
    await may_not_subscribe(deployment, "alice", subject, queue="peerd")


async def test_alice_and_bob_can_chat(deployment):
    async with chatting(deployment) as (alice, bob):
        sent = await alice.send(bob, {"type": TEXT, "message": "hello"})
        [received] = (await bob.event(MESSAGE_RECEIVED))["messageList"]
        assert received["messageID"] == sent["messageID"]
        assert (await alice.history(bob.id))[-1]["messageID"] == sent["messageID"]
        await bob.send(alice, {"type": TEXT, "message": "hello to you"})


async def test_no_reply_subject_takes_alice_past_her_permissions(deployment):
    """A server does not check the reply subject of a request against the caller's permissions."""
    async with chatting(deployment) as (alice, bob):
        for reply in REPLIES:
            await alice.nc.publish("peer.api.alice.heartbeat", b"{}", reply=reply)
        # Bob's next event is that of a later message, and he is still logged in.
        sent = await alice.send(bob, {"type": TEXT, "message": "next"})
        [received] = (await bob.event(MESSAGE_RECEIVED))["messageList"]
        assert received["messageID"] == sent["messageID"]
        await bob.call("heartbeat")


async def test_a_connection_needs_credentials(deployment):
    with pytest.raises((nats.errors.Error, OSError)):
        async with connection(deployment.url, **deployment.options):
            pass
    login = {"user": "alice", "password": "wrong"}
    with pytest.raises((nats.errors.Error, OSError)):
        async with connection(deployment.url, **deployment.options, **login):
            pass


@pytest.mark.parametrize("subject", PEERD_PUBLISHES)
async def test_peerd_may_not_publish(with_gateway, subject):
    await may_not_publish(with_gateway, "peerd", subject)


@pytest.mark.parametrize("subject", PEERD_SUBSCRIBES)
async def test_peerd_may_not_subscribe(with_gateway, subject):
    await may_not_subscribe(with_gateway, "peerd", subject)


@pytest.mark.parametrize("subject", GATEWAY_PUBLISHES)
async def test_a_gateway_may_not_publish(with_gateway, subject):
    await may_not_publish(with_gateway, "gateway", subject)


@pytest.mark.parametrize("subject", GATEWAY_SUBSCRIBES)
async def test_a_gateway_may_not_subscribe(with_gateway, subject):
    await may_not_subscribe(with_gateway, "gateway", subject)


async def test_a_gateway_takes_pushes(with_gateway):
    consumer = {"durable_name": "gateway", "ack_policy": "explicit"}
    create = {"stream_name": "PEER_PUSH", "config": consumer}
    subject = "$JS.API.CONSUMER.CREATE.PEER_PUSH.gateway"
    # The operator's replies arrive on the common prefix.
    async with connection(with_gateway.url, **with_gateway.login("operator")) as operator:
        reply = await operator.request(subject, json.dumps(create).encode(), timeout=DEADLINE_S)
        assert "error" not in json.loads(reply.data), reply.data
    async with chatting(with_gateway) as (alice, bob):
        await bob.call("logout")
        push = {"title": "Alice", "content": "hello"}
        sent = await alice.send(bob, {"type": TEXT, "message": "hello"}, pushConfig=push)
        await bob.login()
    async with with_gateway.connect("gateway") as gateway:
        queue = await gateway.jetstream().pull_subscribe_bind("gateway", "PEER_PUSH")
        [pushed] = await queue.fetch(1, timeout=DEADLINE_S)
        assert Json.decode(pushed.data)["messageID"] == sent["messageID"]
        await pushed.ack_sync(timeout=DEADLINE_S)


@pytest.fixture(scope="module")
def jwt(tmp_path_factory):
    with deployed(tmp_path_factory.mktemp("jwt"), "jwt") as running:
        yield running


@pytest.mark.parametrize(
    "claims",
    [
        {"pub": {"allow": ["peer.api.bob.>"]}},
        {"sub": {"allow": [">"]}},
        {"resp": {"max": 1, "ttl": -1}},
    ],
    ids=["publish", "subscribe", "responses"],
)
async def test_a_signing_key_gives_no_permissions_beyond_its_scope(jwt, claims):
    user = jwt.operator.user("alice", "user", **claims)
    with pytest.raises(nats.errors.Error):
        async with connection(jwt.url, **user.options()):
            pass


async def test_a_jwt_of_another_operator_is_refused(jwt):
    stranger = Operator(scopes()).user("alice", "user")
    with pytest.raises(nats.errors.Error):
        async with connection(jwt.url, **stranger.options()):
            pass


def test_the_operator_of_jwt_can_see_the_status(jwt, tmp_path):
    file = tmp_path / "operator.creds"
    file.write_text(jwt.operator.user("operator", "operator").file())
    binary = os.path.abspath(os.environ.get("PEERD", ROOT / "target" / "debug" / "peerd"))
    command = [binary, "status", "--server", jwt.url, "--credentials", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert run.returncode == 0, run.stdout + run.stderr
