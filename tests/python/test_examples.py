"""The examples without a package, in Go and for the shell, where their tools are installed."""

import asyncio
import os
import shutil
import subprocess
from asyncio.subprocess import PIPE

import peerd
import pytest
from client import DEADLINE_S
from conftest import ROOT
from peerd.testing import running_peerd

CLIENTS = ROOT / "clients"
SHELL = str(CLIENTS / "shell" / "peerd.sh")
LINES = 60


def need(*tools):
    """Skips the test, and the summary says why, unless the tools are on the PATH."""
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"not run: no {tool} on the PATH")


@pytest.fixture
def server():
    with running_peerd() as running:
        yield running


@pytest.mark.parametrize("name", ["go/main.go", "shell/peerd.sh"])
def test_an_example_is_short(name):
    assert len((CLIENTS / name).read_text("utf-8").splitlines()) < LINES


async def received(client):
    async for event in client:
        if event.name == "peer_message_received":
            return event.body["messageList"][0]["message"]


async def test_the_chat_in_go(server, tmp_path):
    need("go")
    folder = CLIENTS / "go"
    if subprocess.run(["go", "mod", "download"], cwd=folder, check=False).returncode != 0:
        pytest.skip("not run: the modules of Go cannot be fetched")
    subprocess.run(["go", "vet", "."], cwd=folder, check=True)
    subprocess.run(["go", "build", "-o", tmp_path / "chat", "."], cwd=folder, check=True)
    async with peerd.Client("b. o", server.url) as bob:
        environment = os.environ | {"NATS_URL": server.url}
        command = (tmp_path / "chat", "al.ice", "b. o")
        chat = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=PIPE, stdout=PIPE
        )
        try:
            chat.stdin.write("Hello, Bob! {{now}}\n".encode())
            assert await asyncio.wait_for(received(bob), DEADLINE_S) == "Hello, Bob! {{now}}"
            await bob.send("al.ice", "Hello, Alice!")
            shown = await asyncio.wait_for(chat.stdout.readline(), DEADLINE_S)
            assert b'"message":"Hello, Alice!"' in shown
        finally:
            chat.kill()
            await chat.wait()


async def shell(server, *arguments):
    environment = os.environ | {"NATS_URL": server.url}
    script = await asyncio.create_subprocess_exec(SHELL, *arguments, env=environment, stdout=PIPE)
    printed, _ = await asyncio.wait_for(script.communicate(), DEADLINE_S)
    return script.returncode, printed.decode()


async def test_the_calls_in_the_shell(server):
    need("nats", "jq")
    assert (await shell(server, "send", "al.ice", "b. o", "Hello, Bob! {{now}}"))[0] == 0
    printed = await shell(server, "history", "b. o", "al.ice")
    assert printed == (0, "al.ice: Hello, Bob! {{now}}\n")
    assert (await shell(server, "send", "alice", "alice", "to oneself"))[0] == 1
    environment = os.environ | {"NATS_URL": server.url}
    watch = await asyncio.create_subprocess_exec(
        SHELL, "watch", "carol", env=environment, stdout=PIPE, start_new_session=True
    )
    try:
        async with peerd.Client("dave", server.url) as dave:
            line = asyncio.create_task(watch.stdout.readline())
            # The command line does not tell when it has subscribed: the first message that it shows
            # ends the wait, and each is one more attempt.
            while not line.done():
                await dave.send("carol", "Hello, Carol!")
                await asyncio.wait({line}, timeout=0.5)
            assert line.result() == b"dave: Hello, Carol!\n"
    finally:
        os.killpg(watch.pid, 9)
        await watch.wait()


def test_the_script_has_no_problem_that_bash_sees():
    subprocess.run(["bash", "-n", SHELL], check=True)
