"""The package of clients/python: what it does by itself, and under faults."""

import asyncio
import contextlib
import json
import time
from asyncio import to_thread

import peerd
import pytest
from client import DEADLINE_S, Json, User
from conftest import POLL_S, ROOT, connection
from peerd import inbox
from peerd.testing import running_peerd
from proxy import Proxy

# The rate is another test's business.
FAST = {"limits.messages_per_second": 2000}
RECEIVED = "peer_message_received"
MESSAGES = 1000


@pytest.fixture(scope="module")
def server():
    with running_peerd(FAST) as running:
        yield running


class Screen:
    """An application: shows each message that it receives, and notes the names of events."""

    def __init__(self, client):
        self.client = client
        self.texts, self.names = [], []

    async def show(self):
        while True:
            # The wait is cancelled again and again, as by a program that does other things too.
            with contextlib.suppress(TimeoutError):
                event = await asyncio.wait_for(anext(self.client), POLL_S)
                self.names.append(event.name)
                if event.name == RECEIVED:
                    self.texts += [message["message"] for message in event.body["messageList"]]

    async def until(self, condition):
        deadline = time.monotonic() + 2 * DEADLINE_S
        while not condition():
            if self.task.done():
                self.task.result()
            assert time.monotonic() < deadline, (len(self.texts), self.texts[-3:], self.names[-9:])
            await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def screen(user, url, **options):
    async with peerd.Client(user, url, **options) as client:
        shown = Screen(client)
        shown.task = asyncio.create_task(shown.show())
        try:
            yield shown
        finally:
            shown.task.cancel()
            await asyncio.wait({shown.task})


def test_tokens_are_what_the_contract_says():
    for user_id, token in json.loads((ROOT / "examples/tutorial/tokens.json").read_text()):
        assert peerd.token(user_id) == token


async def test_the_methods_are_typed_and_documented(server):
    async with peerd.Client("ann", server.url, user_name="Ann") as ann:
        await ann.send("ben", "Hello, Ben!")
        page = await ann.query_history_message(conversationID="ben", config={"count": 10})
        assert [message["message"] for message in page["messageList"]] == ["Hello, Ben!"]
        with pytest.raises(peerd.Refused) as refused:
            await ann.query_conversation(conversationID="nobody")
        assert (refused.value.code, refused.value.reason) == (6000603, "conversation_not_found")
    assert peerd.Client.query_history_message.__doc__.startswith("Reads ")


async def test_lost_events_are_noticed_and_mended(server):
    async with (
        Proxy.to(server.port) as proxy,
        screen("carol", proxy.url) as carol,
        peerd.Client("dave", server.url) as dave,
    ):
        await dave.send("carol", "1")
        await carol.until(lambda: carol.texts == ["1"])
        proxy.is_lost = lambda subject: ".event." in subject
        for number in range(2, 130):
            await dave.send("carol", str(number))
        proxy.is_lost = lambda subject: False
        await dave.send("carol", "130")
        await carol.until(lambda: carol.names[-1:] == ["caught_up"] or len(carol.texts) >= 130)
        await carol.until(lambda: len(carol.texts) >= 130)
        assert carol.texts == [str(number) for number in range(1, 131)]
        # One message is missing, and no change of conversations.
        proxy.is_lost = lambda subject: subject.endswith(RECEIVED)
        await dave.send("carol", "131")
        await carol.until(lambda: carol.names[-1].endswith("count_updated"))
        proxy.is_lost = lambda subject: False
        await dave.send("carol", "132")
        await carol.until(lambda: len(carol.texts) >= 132)
        assert carol.texts[-2:] == ["131", "132"]


async def test_a_conversation_that_began_unseen_is_read_from_its_beginning(server):
    async with (
        Proxy.to(server.port) as proxy,
        screen("erin", proxy.url) as erin,
        peerd.Client("frank", server.url) as frank,
    ):
        proxy.is_lost = lambda subject: ".event." in subject
        for number in range(120):
            await frank.send("erin", str(number))
        await proxy.cut()
        proxy.is_lost = lambda subject: False
        await erin.until(lambda: "caught_up" in erin.names)
        assert erin.texts == [str(number) for number in range(120)]


async def test_events_that_nobody_takes_are_dropped_and_read_again(server, monkeypatch):
    monkeypatch.setattr(inbox, "MAX_EVENTS", 10)
    async with (
        peerd.Client("grace", server.url) as grace,
        peerd.Client("heidi", server.url) as heidi,
    ):
        for number in range(50):
            await heidi.send("grace", str(number))
        texts = []
        async for event in grace:
            if event.name == RECEIVED:
                texts += [message["message"] for message in event.body["messageList"]]
            if event.name == "caught_up":
                break
        assert texts == [str(number) for number in range(50)]


async def test_events_in_bundles_are_the_same():
    with running_peerd({**FAST, "events.bundle": "true"}) as bundling:
        async with screen("bob", bundling.url) as bob, peerd.Client("al", bundling.url) as alice:
            await asyncio.gather(*(alice.send("bob", str(number)) for number in range(20)))
            await bob.until(lambda: len(bob.names) >= 60)
            assert bob.texts == [str(number) for number in range(20)]
            assert bob.names[:3] == [RECEIVED, "conversation_changed", inbox.TOTAL]


async def test_a_user_without_a_session_is_logged_in_again(server):
    async with peerd.Client("ivan", server.url) as ivan, connection(server.url) as nc:
        await User(nc, "ivan", Json).call("logout")
        await asyncio.gather(*(ivan.send("judy", text) for text in ("one", "two")))
        first = ivan.session["sessionID"]
        await User(nc, "ivan", Json).call("logout")
        assert (await ivan.query_conversation_list(config={"count": 1}))["conversationList"]
        assert ivan.session["sessionID"] != first


async def test_a_session_that_peerd_ended_ends_the_stream(server):
    async with peerd.Client("kim", server.url) as kim, connection(server.url) as nc:
        for _ in range(10):
            await User(nc, "kim", Json).call("login")
        assert [event.name async for event in kim] == ["connection_state_changed"]
        with pytest.raises(peerd.NotConnected):
            await kim.send("leo", "hello")


class LostOnce:
    """Loses the first reply."""

    def __init__(self):
        self.is_done = asyncio.Event()

    def __call__(self, subject):
        is_first = subject.startswith("_INBOX") and not self.is_done.is_set()
        if is_first:
            self.is_done.set()
        return is_first


async def test_a_send_whose_reply_is_lost_is_stored_once(server):
    async with (
        Proxy.to(server.port) as proxy,
        peerd.Client("liv", proxy.url, request_timeout=0.5) as liv,
    ):
        proxy.is_lost = LostOnce()
        sent = await liv.send("max", "hello")
        assert proxy.is_lost.is_done.is_set()
        page = await liv.query_history_message(conversationID="max", config={"count": 10})
        assert page["messageList"] == [sent]


async def test_a_call_that_would_count_twice_is_not_repeated(server):
    async with (
        Proxy.to(server.port) as proxy,
        peerd.Client("mia", proxy.url, request_timeout=0.5) as mia,
    ):
        sent = await mia.send("ned", "hello")
        proxy.is_lost = LostOnce()
        with pytest.raises(peerd.Unanswered) as unanswered:
            await mia.add_message_reaction(
                message={"messageID": sent["messageID"]},
                conversationID="ned",
                reactionType="+1",
                config={"increaseCount": 2},
            )
        assert unanswered.value.may_have_taken_effect
        page = await mia.query_history_message(conversationID="ned", config={"count": 1})
        [reaction] = page["messageList"][0]["reactions"]
        assert reaction["sumCount"] == 2


async def test_the_queue_of_messages_is_bounded(server):
    async with peerd.Client("olga", server.url, max_queued=5) as olga:
        sends = [olga.send("pete", str(number)) for number in range(6)]
        results = await asyncio.gather(*sends, return_exceptions=True)
        assert [isinstance(result, peerd.QueueFull) for result in results] == [False] * 5 + [True]


async def test_refused_credentials_are_an_error_at_once():
    users = "authorization { users: [ { user: peerd, password: secret } ] }"
    options = {"nats.user": "peerd", "nats.password": "secret"}
    login = {"user": "peerd", "pass": "secret"}
    with running_peerd(options, nats_config=users, login=login) as closed:
        with pytest.raises(peerd.NotConnected, match="Authorization"):
            await peerd.Client("quinn", closed.url, password="wrong").connect()
        url = closed.url.replace("//", "//peerd:secret@")
        async with peerd.Client("quinn", url) as quinn:
            await quinn.send("rita", "hello")


async def test_a_call_ends_in_time_without_a_server():
    with running_peerd(FAST) as server:
        async with peerd.Client("sam", server.url) as sam:
            await to_thread(server.nats.kill)
            with pytest.raises(peerd.Unanswered):
                await peerd.Client("tom", server.url).connect(within=0.3)
            with pytest.raises(peerd.Unanswered):
                await sam.call("query_blacklist", {"config": {"count": 1}}, within=0.3)


async def test_a_connection_that_fell_silent_is_replaced(server):
    async with (
        Proxy.to(server.port) as proxy,
        screen("uma", proxy.url, ping_interval=0.1) as uma,
        peerd.Client("vic", server.url) as vic,
    ):
        proxy.is_silent = True
        await vic.send("uma", "one")
        sent = asyncio.create_task(uma.client.send("vic", "two"))
        await uma.until(lambda: not uma.client.is_connected)
        proxy.is_silent = False
        await uma.until(lambda: uma.texts == ["one"])
        assert (await sent)["messageSeq"] == 1


async def send_all(client, to, texts):
    """Sends all at once; they are stored in the order of the sends."""
    sent = await asyncio.gather(*(client.send(to, text) for text in texts))
    keys = [message["orderKey"] for message in sent]
    assert keys == sorted(keys)


async def test_a_thousand_messages_each_way_through_every_fault():
    # A dead instance is noticed sooner.
    options = {**FAST, "cluster.member_ttl_ms": 1000}
    async with running_peerd(options, instances=2) as server, contextlib.AsyncExitStack() as stack:
        first, second = server.instances
        a_proxy, b_proxy = [
            await stack.enter_async_context(Proxy.to(server.port)) for _ in range(2)
        ]
        quick = {"request_timeout": 2}
        alice = await stack.enter_async_context(screen("alice", a_proxy.url, **quick))
        bob = await stack.enter_async_context(screen("bob", b_proxy.url, **quick))
        to_bob = [f"to bob {number}" for number in range(MESSAGES)]
        to_alice = [f"to alice {number}" for number in range(MESSAGES)]
        sends = asyncio.gather(
            send_all(alice.client, "bob", to_bob), send_all(bob.client, "alice", to_alice)
        )

        async def restart_nats():
            await to_thread(server.nats.kill)
            await to_thread(server.nats.start)

        async def restart(instance, end):
            await to_thread(end)
            await to_thread(instance.start)

        async def cut_for_a_while():
            b_proxy.is_blocked = True
            await b_proxy.cut()
            await bob.until(lambda: not bob.client.is_connected)
            b_proxy.is_blocked = False

        faults = {
            100: a_proxy.cut,
            200: b_proxy.cut,
            300: restart_nats,
            400: lambda: restart(first, first.kill),
            500: lambda: restart(second, second.kill),
            600: lambda: restart(first, first.stop),
            700: cut_for_a_while,
        }
        for count, fault in faults.items():
            await bob.until(lambda count=count: len(bob.texts) >= count)
            await fault()
        await sends
        await bob.until(lambda: len(bob.texts) >= MESSAGES)
        await alice.until(lambda: len(alice.texts) >= MESSAGES)
        assert bob.texts == to_bob
        assert alice.texts == to_alice
        reply = await bob.client.query_conversation(conversationID="alice")
        assert reply["conversation"]["unreadMessageCount"] == MESSAGES
