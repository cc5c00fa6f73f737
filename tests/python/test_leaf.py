"""deploy/nats/hub.conf with a site whose own server allows its users everything."""

import asyncio
import contextlib
import json

import nats.errors
import pytest
from client import DEADLINE_S, TEXT, Json, User
from conftest import POLL_S, connection, credentials, running_nats_server
from deployments import deployed, hub_url

FORGED = [
    "peer.event.bob.peer_message_received",
    "peer.log.0.bob.alice",
    "peer.state.0.bob.account",
    "peer.push.bob",
    "peer.part.0.bob.logout",
    "$KV.PEER_OWNERS.owner.0",
    "_INBOX.1",
]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    with deployed(tmp_path_factory.mktemp("leaf"), "leaf") as running:
        yield running


@pytest.fixture(scope="module")
def open_site(deployment, tmp_path_factory):
    """The URL of a site without users and permissions, on the same hub."""
    folder = tmp_path_factory.mktemp("open-site")
    config = folder / "leaf.conf"
    config.write_text(
        'jetstream { domain: open }\n'
        f'leafnodes {{ remotes: [ {{ url: "{hub_url(deployment.hub)}" }} ] }}\n'
    )
    with running_nats_server(folder, "-c", str(config)) as server:
        yield server.urls["nats"]


async def first_call(nc):
    """Calls as alice as soon as peerd can be reached."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(nats.errors.NoRespondersError):
                return await nc.request("peer.api.alice.login", b"{}", timeout=DEADLINE_S)
            await asyncio.sleep(POLL_S)


async def test_a_site_publishes_calls_and_nothing_else(deployment, open_site):
    inbox = "_INBOX_leaf.alice"
    hub = deployment.hub.urls["nats"]
    async with (
        connection(open_site, inbox_prefix=inbox) as site,
        connection(hub, **credentials("operator")) as operator,
    ):
        await first_call(site)
        seen = asyncio.Queue()
        await operator.subscribe("peer.event.>", cb=seen.put)
        await operator.subscribe("_INBOX.1", cb=seen.put)
        await operator.flush()
        bob = User(operator, "bob", Json)
        await bob.login()
        for subject in FORGED:
            await site.publish(subject, b"{}")
        # Later messages on the same connections: bob is still logged in, and has only real events.
        alice = User(site, "alice", Json)
        sent = await alice.send(bob, {"type": TEXT, "message": "next"})
        await bob.call("heartbeat")
        messages = [await asyncio.wait_for(seen.get(), DEADLINE_S) for _ in range(2)]
        assert all(sent["messageID"] in message.data.decode() for message in messages)


async def test_a_site_receives_events_and_nothing_else(deployment, open_site):
    hub = deployment.hub.urls["nats"]
    async with (
        connection(open_site, inbox_prefix="_INBOX_leaf.alice") as site,
        connection(hub, **credentials("operator")) as operator,
    ):
        await first_call(site)
        seen = asyncio.Queue()
        await site.subscribe(">", cb=seen.put)
        await site.flush()
        # A call from the hub is answered there, is stored, and publishes events.
        alice, bob = (User(operator, user, Json) for user in ("alice", "bob"))
        for user in (alice, bob):
            await user.login()
        await alice.send(bob, {"type": TEXT, "message": "hello"})
        subjects = []
        while "peer.event.bob.conversation_changed" not in subjects:
            subjects.append((await asyncio.wait_for(seen.get(), DEADLINE_S)).subject)
        assert all(subject.startswith("peer.event.") for subject in subjects), subjects


async def test_a_site_reaches_its_own_jetstream_and_not_that_of_the_hub(open_site):
    async with connection(open_site, inbox_prefix="_INBOX_leaf.alice") as site:
        await first_call(site)
        reply = await site.request("$JS.API.INFO", timeout=DEADLINE_S)
        assert json.loads(reply.data)["domain"] == "open"
        with pytest.raises(nats.errors.NoRespondersError):
            await site.request("$JS.hub.API.INFO", timeout=DEADLINE_S)
