"""Plays the examples of docs/protocol.md against a peerd: calls, replies and events are as shown.

A block after `<!-- call: USER METHOD -->` is sent, the one after `<!-- reply -->` must be its
reply, and one after `<!-- event: USER EVENT -->` must be among the user's events. `setup` makes a
call that the page does not show. IDs, times and keys differ from run to run: each of the page
stands for the same actual one everywhere.
"""

import json
import os
import re
import shlex
import subprocess
from collections import defaultdict

import nats.errors
import pytest
from client import Rejected, User
from conftest import ROOT, Json, connection, nats_server, peerd

PAGE = (ROOT / "docs" / "protocol.md").read_text("utf-8")
STEP = re.compile(
    r"^<!-- setup(?: (?P<times>\d+) times)?: (?P<setup>\w+ \w+) (?P<body>\{[^\n]*?\})"
    r"(?: -> (?P<result>\{[^\n]*\}))? -->$"
    r"|^<!-- (?:call: (?P<call>\w+ \w+)|(?P<reply>reply)|event: (?P<event>\w+ \w+)) -->\n"
    r"```json\n(?P<shown>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# What differs from run to run, by what it is.
VARYING = {
    "messageID": "message",
    "sessionID": "session",
    "timestamp": "sent at",
    "sentTime": "sent at",
    "editedTime": "edited at",
    "revokeTimestamp": "revoked at",
    "readTime": "read at",
    "pinnedTime": "pinned at",
    "serverTime": "served at",
    "customStatusExpiredTime": "status at",
    "lastUpdateTime": "status at",
    "subscribeExpiredTime": "status at",
    "lastOnlineStatusUpdateTime": "status at",
    "lastCustomStatusUpdateTime": "status at",
    "orderKey": "key",
    "revision": "key",
    "previousRevision": "key",
}
MORE = "..."
EVENT_S = 10


def read(text):
    """An example: JSON, in which `...` stands for further fields."""
    return json.loads(re.sub(r"([{,])\s*\.\.\.", rf'\1 "{MORE}": true', text))


class Meanings:
    """The actual value for each varying value that the page shows."""

    def __init__(self, known=()):
        self.known = dict(known)

    def matches(self, shown, actual, name=None):
        """Whether the actual value is as shown; learns what the varying ones mean."""
        if isinstance(shown, dict) and isinstance(actual, dict):
            fields = {field for field in shown if field != MORE}
            complete = fields <= actual.keys() if MORE in shown else fields == actual.keys()
            return complete and all(self.matches(shown[f], actual[f], f) for f in sorted(fields))
        if isinstance(shown, list) and isinstance(actual, list):
            return len(shown) == len(actual) and all(map(self.matches, shown, actual))
        if name in VARYING and shown and actual and type(shown) is type(actual):
            return self.known.setdefault((VARYING[name], shown), actual) == actual
        return shown == actual

    def translated(self, shown, name=None):
        """A shown body, with the actual values in place of those that vary."""
        if isinstance(shown, dict):
            return {field: self.translated(value, field) for field, value in shown.items()}
        if isinstance(shown, list):
            return [self.translated(value) for value in shown]
        return self.known.get((VARYING.get(name), shown), shown)


async def call(user, method, body):
    try:
        return await user.call(method, body)
    except Rejected as refused:
        failure = {"code": refused.code, "reason": refused.reason, "message": refused.message}
        wait = refused.retry_after_ms
        return failure if wait is None else failure | {"retryAfterMs": wait}


class Story:
    """What happens on the page, from its top to its end."""

    def __init__(self, users):
        self.users = users
        self.meanings = Meanings()
        self.reply = None
        self.came = defaultdict(list)  # (user, event) -> bodies

    async def play(self, step, next_event):
        if step["setup"]:
            for _ in range(int(step["times"] or 1)):
                self.reply = await self.call(step["setup"], step["body"])
            if step["result"]:
                self.check_reply(step["result"])
        elif step["call"]:
            self.reply = await self.call(step["call"], step["shown"])
        elif step["reply"]:
            self.check_reply(step["shown"])
        else:
            await self.check_event(step, next_event)

    async def call(self, who_and_method, body):
        user, method = who_and_method.split()
        body = self.meanings.translated(read(body))
        return await call(self.users[user], method, body)

    def check_reply(self, shown):
        assert self.meanings.matches(read(shown), self.reply), f"{shown}\nbut was\n{self.reply}"

    async def check_event(self, step, next_event):
        """Takes events until one is as shown; `next_event` fails when none comes any more."""
        user, name = step["event"].split()
        shown = read(step["shown"])
        for body in self.came[user, name]:
            if self.fits(shown, body):
                return
        while True:
            try:
                subject, body = await next_event()
            except nats.errors.TimeoutError:
                came = "\n".join(map(json.dumps, self.came[user, name]))
                text = f"no {name} of {user} is as shown:\n{step['shown']}\nbut\n{came}"
                raise AssertionError(text) from None
            self.came[subject].append(body)
            if subject == (user, name) and self.fits(shown, body):
                return

    def fits(self, shown, body):
        attempt = Meanings(self.meanings.known)
        if not attempt.matches(shown, body):
            return False
        self.meanings = attempt
        return True


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    with nats_server(folder) as url, peerd(folder, url, Json):
        yield url


async def test_the_examples_of_the_reference_are_what_peerd_does(url):
    async with connection(url) as nc:
        events = await nc.subscribe("peer.event.*.*")
        await nc.flush()

        async def next_event():
            msg = await events.next_msg(timeout=EVENT_S)
            _, _, user, name = msg.subject.split(".")
            return (user, name), json.loads(msg.data)

        story = Story({user: User(nc, user, Json) for user in ("alice", "bob", "carol", "dave", "erin")})
        for step in STEP.finditer(PAGE):
            await story.play(step, next_event)
    assert sum(map(len, story.came.values())) >= 15


def test_the_commands_of_the_reference_run(tmp_path):
    block = PAGE.split("you can call from a terminal:\n\n```sh\n")[1].split("```")[0]
    calls = [line for line in block.splitlines() if line.startswith("peerd call ")]
    assert len(calls) >= 7
    with nats_server(tmp_path) as url, peerd(tmp_path, url, Json) as daemon:
        binary = daemon.process.child.args[0]
        environment = os.environ | {"PEERD__NATS__SERVERS": url}
        for line in calls:
            command = [binary, *shlex.split(line)[1:]]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            is_last = line == calls[-1]
            assert done.returncode == (1 if is_last else 0), f"{line}\n{done}"
    refused = re.search(r"The last call is refused, with `(.*?)`", PAGE)[1]
    assert json.loads(done.stdout) == json.loads(refused)


def test_every_method_has_an_example_and_says_what_it_publishes():
    methods = PAGE.split("\n## Methods\n")[1].split("\n### Unsupported methods\n")[0]
    sections = methods.split("\n### ")[1:]
    assert len(sections) >= 19
    for section in sections:
        name = section.split("\n")[0]
        steps = STEP.finditer(section)
        kinds = [kind for step in steps for kind in ("call", "reply", "event") if step[kind]]
        assert kinds[:2] == ["call", "reply"], name
        assert "event" in kinds or "no event" in section, name


def test_every_error_is_in_the_table_of_errors():
    snapshot = (ROOT / "tests" / "snapshots" / "bodies__errors.snap").read_text("utf-8")
    errors = set(re.findall(r'"code": (\d+),\s*"reason": "(\w+)"', snapshot))
    section = PAGE.split("\n## Errors\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| (\d+) \| `(\w+)` \|", section, re.MULTILINE)) == errors
