"""The package of clients/python as a package: types, format, wheel, examples; helpers for tests."""

import asyncio
import contextlib
import os
import subprocess
import sys
import zipfile
from asyncio.subprocess import PIPE
from pathlib import Path

import flit_core.buildapi
import peerd
import pytest
from client import DEADLINE_S
from conftest import ROOT
from peerd import testing
from peerd.testing import running_peerd

PACKAGE = ROOT / "clients" / "python"
EXAMPLES = PACKAGE / "examples"
TOOLS = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ("mypy", "--cache-dir", "../../target/mypy"),
        ("ruff", "check", "--no-cache"),
        ("ruff", "format", "--check", "--no-cache"),
        ("python", "scripts/generate", "--check"),
    ],
    ids=" ".join,
)
def test_types_lints_format_and_generated_code(command):
    name, *arguments = command
    done = subprocess.run(
        [TOOLS / name, *arguments], cwd=PACKAGE, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_is_typed_and_has_the_version_of_peerd(tmp_path, monkeypatch):
    monkeypatch.chdir(PACKAGE)
    name = flit_core.buildapi.build_wheel(str(tmp_path))
    assert f'version = "{peerd.__version__}"' in (ROOT / "Cargo.toml").read_text()
    assert name == f"peerd-{peerd.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / name) as wheel:
        names = set(wheel.namelist())
        modules = {f"peerd/{file.name}" for file in (PACKAGE / "src" / "peerd").glob("*.py")}
        assert names >= modules | {"peerd/py.typed"}


def test_the_listing_of_the_readme_runs(server):
    text = (PACKAGE / "README.md").read_text("utf-8")
    listing = text.split("```python\n")[1].split("```")[0]
    listing = listing.replace('Client("', f'Client(servers="{server.url}", user_id="')
    environment = os.environ | {"PYTHONPATH": str(PACKAGE / "src")}
    command = [sys.executable, "-c", listing]
    assert subprocess.check_output(command, text=True, env=environment) == "Hello, Bob!\n"


@pytest.fixture(scope="module")
def server():
    with running_peerd() as running:
        yield running


@contextlib.asynccontextmanager
async def program(server, *command, **environment):
    """A running example, which is ended with the block."""
    paths = os.pathsep.join((str(PACKAGE / "src"), os.environ.get("PYTHONPATH", "")))
    child = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | {"NATS_URL": server.url, "PYTHONPATH": paths} | environment,
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def python(name, *arguments):
    return (sys.executable, str(EXAMPLES / f"{name}.py"), *arguments)


async def printed(child):
    return (await asyncio.wait_for(child.stdout.readline(), DEADLINE_S)).decode().rstrip("\n")


async def say(child, text):
    child.stdin.write(f"{text}\n".encode())
    await child.stdin.drain()


async def test_two_users_chat_in_two_terminals(server):
    async with program(server, *python("chat", "ann", "ben")) as ann:
        await say(ann, "Hello, Ben!")
        ann.stdin.close()
        assert await asyncio.wait_for(ann.wait(), DEADLINE_S) == 0
    async with (
        program(server, *python("chat", "ben", "ann")) as ben,
        peerd.Client("ann", server.url) as ann,
    ):
        assert await printed(ben) == "ann: Hello, Ben!"
        await say(ben, "Hello, Ann!")
        async for event in ann:
            if event.name == "peer_message_received":
                break
        await ann.send("ben", "How are you?")
        assert await printed(ben) == "ann: How are you?"


async def test_the_service_sends_and_answers_after_a_restart_too(server, tmp_path):
    state = {"STATE": str(tmp_path / "state")}
    async with peerd.Client("carol", server.url) as carol:

        async def next_text():
            async for event in carol:
                if event.name == "peer_message_received":
                    return event.body["messageList"][0]["message"]

        async with program(server, *python("service"), **state) as service:
            await say(service, "carol Your parcel is here.")
            assert (await printed(service)).startswith("carol: sent as ")
            assert await next_text() == "Your parcel is here."
            await say(service, "shop Nobody writes to oneself.")
            assert (await printed(service)).startswith("shop: not sent, 6000001 ")
        await carol.send("shop", "Where is it?")
        async with program(server, *python("service"), **state):
            assert await next_text() == "Thank you, we call you back."
        async with program(server, *python("service"), **state) as service:
            await say(service, "carol Bye.")
            assert await next_text() == "Bye."


def test_the_servers_of_a_test_leave_nothing_behind():
    with running_peerd(instances=2) as server:
        children = [process._child for process in (server.nats, *server.instances)]
        assert all(child.poll() is None for child in children)
    assert all(child.poll() is not None for child in children)
    assert not server.folder.exists()


def test_a_missing_binary_is_an_error_that_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("PEERD", "no-such-peerd")
    with pytest.raises(testing.NotFound, match="name its binary with PEERD"):
        testing.peerd()
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho nats-server: v2.11.9\n")
    old.chmod(0o755)
    monkeypatch.setenv("NATS_SERVER", str(old))
    with pytest.raises(testing.NotFound, match="is nats-server: v2.11.9.*pip install peerd"):
        testing.nats_server()
    monkeypatch.delenv("NATS_SERVER")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(testing.sysconfig, "get_path", lambda name: str(tmp_path / "none"))
    with pytest.raises(testing.NotFound, match="put one on the PATH"):
        testing.nats_server()
    # One that pip installed is used, although the one on the PATH is too old.
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "nats-server").write_text("#!/bin/sh\necho nats-server: v2.12.0\n")
    (scripts / "nats-server").chmod(0o755)
    monkeypatch.setattr(testing.sysconfig, "get_path", lambda name: str(scripts))
    assert testing.nats_server() == str(scripts / "nats-server")


def test_a_server_that_does_not_start_shows_its_log():
    with pytest.raises(RuntimeError, match="(?s)peerd-1 ended:.*messages_per_second"):
        with running_peerd({"limits.messages_per_second": "many"}):
            pass
