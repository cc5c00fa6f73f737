"""deploy/compose.yaml, without containers: its commands, variables and files, as processes."""

import re

import pytest
import yaml
from client import MESSAGE_RECEIVED, TEXT, Json, User
from conftest import ROOT, connection, peerd, running_nats_server
from deployments import configuration

COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]


def environment(service):
    """The variables of a service, with their defaults."""
    default = re.compile(r"\$\{\w+:-([^}]*)\}")
    return {k: default.sub(r"\1", v) for k, v in COMPOSE[service]["environment"].items()}


def user(name):
    return {"user": name, "password": environment("nats")[f"{name.upper()}_PASSWORD"]}


@pytest.fixture(scope="module")
def compose(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compose")
    # The folder that is mounted; the store is the test's own.
    [mounted] = [v.split(":")[1] for v in COMPOSE["nats"]["volumes"] if v.startswith("./nats:")]
    copies = str(configuration(folder))
    command = [part.replace(mounted, copies) for part in COMPOSE["nats"]["command"]]
    assert command.pop() == "/data" and command.pop() == "-sd"
    with running_nats_server(folder, *command, **environment("nats")) as server:
        settings = environment("peerd")
        # The name of the service, and a port inside the container.
        assert settings.pop("PEERD__NATS__SERVERS") == "nats://nats:4222"
        assert settings.pop("PEERD__HTTP__LISTEN")
        (folder / "peerd").mkdir()
        login = user("operator")
        with peerd(folder / "peerd", server.urls["nats"], Json, login=login, **settings):
            yield server


async def test_it_serves_users_over_tcp_and_websocket(compose):
    async with (
        connection(compose.urls["nats"], inbox_prefix="_INBOX_alice", **user("alice")) as first,
        connection(compose.urls["websocket"], inbox_prefix="_INBOX_bob", **user("bob")) as second,
    ):
        alice, bob = User(first, "alice", Json), User(second, "bob", Json)
        for each in (alice, bob):
            await each.listen()
            await each.login()
        sent = await alice.send(bob, {"type": TEXT, "message": "hello"})
        [received] = (await bob.event(MESSAGE_RECEIVED))["messageList"]
        assert received["messageID"] == sent["messageID"]
