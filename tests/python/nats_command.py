"""The commands of the `nats` command line that docs/operations.md uses, over the same API of
JetStream, so that the tests need not download it. An option that is not known here is an error.
"""

import argparse
import asyncio
import contextlib
import json
import ssl
from pathlib import Path

import nats
import nats.errors

DEADLINE_S = 5
CHUNK_BYTES = 128 * 1024
CONFIGURATION, DATA = "backup.json", "stream.tar.s2"


class Refused(Exception):
    """The command failed."""


async def ask(nc, subject, body=None):
    """A request to JetStream's API."""
    data = json.dumps(body).encode() if body else b""
    return checked(subject, await nc.request(f"$JS.API.{subject}", data, timeout=DEADLINE_S))


def checked(subject, answer):
    answer = json.loads(answer.data or b"{}")
    if "error" in answer:
        raise Refused(f"{subject}: {answer['error']['description']}")
    return answer


async def names(nc, given):
    offset, total, found = 0, 1, []
    while offset < total:
        page = await ask(nc, "STREAM.NAMES", {"offset": offset})
        found += page["streams"] or []
        total, offset = page["total"], offset + max(page["limit"], 1)
    return "".join(f"{name}\n" for name in sorted(found))


async def backup(nc, given):
    chunks = asyncio.Queue()
    inbox = nc.new_inbox()
    await nc.subscribe(inbox, cb=chunks.put)
    request = {"deliver_subject": inbox, "no_consumers": False, "chunk_size": CHUNK_BYTES}
    answer = await ask(nc, f"STREAM.SNAPSHOT.{given.stream}", request)
    target = given.cwd / given.target
    target.mkdir(parents=True)
    with (target / DATA).open("wb") as file:
        while (chunk := await asyncio.wait_for(chunks.get(), DEADLINE_S)).data:
            file.write(chunk.data)
            # The server sends no more before earlier chunks are acknowledged.
            if chunk.reply:
                await chunk.respond(b"")
    status = (chunk.headers or {}).get("Status", "")
    if status not in ("", "204"):
        raise Refused(f"{given.stream}: the backup ended with {chunk.headers}")
    described = {key: answer[key] for key in ("config", "state")}
    (target / CONFIGURATION).write_text(json.dumps(described))


async def restore(nc, given):
    source = given.cwd / given.file
    request = json.loads((source / CONFIGURATION).read_text())
    name = request["config"]["name"]
    if given.replicas:
        request["config"]["num_replicas"] = given.replicas
    target = (await ask(nc, f"STREAM.RESTORE.{name}", request))["deliver_subject"]
    with (source / DATA).open("rb") as file:
        # An empty chunk ends the restore.
        while True:
            data = file.read(CHUNK_BYTES)
            checked(name, await nc.request(target, data, timeout=DEADLINE_S))
            if not data:
                break


async def remove(nc, given):
    await ask(nc, f"STREAM.DELETE.{given.stream}")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Refused(f"{self.prog}: {message}")


def parser():
    top = Parser(prog="nats")
    stream = top.add_subparsers(required=True).add_parser("stream").add_subparsers(required=True)
    command = stream.add_parser("ls")
    command.add_argument("--names", action="store_true", required=True)
    command.set_defaults(run=names)
    command = stream.add_parser("backup")
    command.add_argument("stream")
    command.add_argument("target", type=Path)
    command.set_defaults(run=backup)
    command = stream.add_parser("restore")
    command.add_argument("file", type=Path)
    command.add_argument("--replicas", type=int)
    command.set_defaults(run=restore)
    command = stream.add_parser("rm")
    command.add_argument("stream")
    command.add_argument("--force", action="store_true", required=True)
    command.set_defaults(run=remove)
    return top


async def run(arguments, environment, cwd):
    """Runs a command; returns what it prints."""
    given = parser().parse_args(arguments)
    given.cwd = Path(cwd)
    options = {"user": environment["NATS_USER"], "password": environment["NATS_PASSWORD"]}
    if authority := environment.get("NATS_CA"):
        options["tls"] = ssl.create_default_context(cafile=authority)
    nc = nats.NATS()
    try:
        servers = environment["NATS_URL"].split(",")
        await nc.connect(servers, allow_reconnect=False, connect_timeout=DEADLINE_S, **options)
        return await given.run(nc, given) or ""
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise Refused(f"nats: {type(error).__name__} {error}") from error
    finally:
        with contextlib.suppress(Exception):
            await nc.close()
