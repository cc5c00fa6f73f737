"""Properties of single configurations in deploy/nats, beyond the permissions of users."""

import asyncio
import re
from contextlib import ExitStack

import nats.errors
import pytest
from client import DEADLINE_S, TEXT, Json, User
from conftest import PASSWORDS, connection, credentials, peerd, running_nats_server
from deployments import configuration, deployed, password_of_peerd


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    with deployed(tmp_path_factory.mktemp("tls"), "tls") as running:
        yield running


def port_of(url):
    return int(url.rsplit(":", 1)[1])


async def test_a_client_without_tls_is_refused(tls):
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(tls.url))
    async with asyncio.timeout(DEADLINE_S):
        assert b'"tls_required":true' in await reader.readline()
        alice = credentials("alice")
        login = f'{{"user":"{alice["user"]}","pass":"{alice["password"]}","verbose":false}}'
        writer.write(f"CONNECT {login}\r\nPING\r\n".encode())
        said = await reader.read()
        assert b"PONG" not in said
    writer.close()


def without_permissions(text, user):
    """The configuration in which a user may do everything within the account."""
    before, after = text.split(f"user: {user}\n")
    after = re.sub(r"permissions: \{.*?\n        \}\n", "", after, count=1, flags=re.S)
    return f"{before}user: {user}\n{after}"


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    """accounts.conf, where alice's account alone keeps her from the subjects of others."""
    folder = tmp_path_factory.mktemp("accounts")
    config = configuration(folder) / "accounts.conf"
    text = without_permissions(config.read_text(), "alice")
    assert "_INBOX_alice" not in text
    config.write_text(text)
    with ExitStack() as stack:
        server = running_nats_server(folder, "-c", str(config), **PASSWORDS)
        url = stack.enter_context(server).urls["nats"]
        (folder / "peerd").mkdir()
        login = credentials("operator")
        stack.enter_context(peerd(folder / "peerd", url, Json, login=login, **password_of_peerd()))
        yield url


async def test_the_account_of_a_user_reaches_nothing_of_others(accounts):
    async with (
        connection(accounts, **credentials("alice")) as own,
        connection(accounts, **credentials("app")) as app,
    ):
        alice, bob = User(own, "alice", Json), User(app, "bob", Json)
        await bob.listen()
        for user in (alice, bob):
            await user.login()
        for subject in ("peer.api.bob.logout", "peer.part.0.bob.logout", "$SRV.PING.peerd"):
            with pytest.raises(nats.errors.NoRespondersError):
                await own.request(subject, b"{}", timeout=DEADLINE_S)
        await own.publish("peer.event.bob.peer_message_received", b"{}")
        seen = asyncio.Queue()
        await own.subscribe(">", cb=seen.put)
        # Bob's first event is that of a message, and alice receives only her own.
        sent = await alice.send(bob, {"type": TEXT, "message": "hello"})
        _, event = await bob.next_event()
        assert event["messageList"][0]["messageID"] == sent["messageID"]
        subjects = []
        while "peer.event.alice.conversation_changed" not in subjects:
            subjects.append((await asyncio.wait_for(seen.get(), DEADLINE_S)).subject)
        own_subjects = ("peer.event.alice.", "peer.api.alice.", "_INBOX.")
        assert all(subject.startswith(own_subjects) for subject in subjects), subjects
