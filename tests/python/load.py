"""Users who chat while a deployment is changed, and note everything for `peerd verify`."""

import asyncio
import contextlib
import itertools
import json
import time

import nats
import nats.errors
from client import CODECS, DEADLINE_S, Json, Rejected, read_reply, token

INTERVAL_S = 0.15
# The refusals after which a client repeats its call, and how soon it does.
REPEATABLE = ("no_responders", "outcome_unknown", "overloaded", "store_unavailable")
REPEAT_S = 0.1
ATTEMPT_S = 6
# Events of the last calls arrive within this time.
QUIET_S = 1
POLL_S = 0.02


class Load:
    """A ring of users: each sends to the next one, who reads, and repeats a call that failed."""

    def __init__(self, users, notes, urls, options):
        self.users = users
        self.notes = notes
        self.file = notes.open("w")
        self.urls = urls
        self.options = options
        self.calls = itertools.count(1)
        self.stopping = False
        self.repeats = 0
        self.acknowledged = 0

    def note(self, **line):
        # Does not go back while the test lasts.
        line = {"at": time.time_ns() // 1000} | line
        self.file.write(json.dumps(line) + "\n")

    async def attempt(self, nc, call, user, method, body):
        """One attempt at a call: the reply, or `None` if it failed."""
        number = next(self.calls)
        self.note(call=number, operation=call, user=user, method=method, body=body)
        subject = f"peer.api.{token(user)}.{method}"
        try:
            reply = await nc.request(subject, Json.encode(body), timeout=ATTEMPT_S)
            reply = read_reply(reply, Json)
        except Rejected as rejected:
            return self.refused(number, rejected.reason)
        except nats.errors.NoRespondersError:
            return self.refused(number, "no_responders")
        except (nats.errors.Error, OSError):
            return None
        self.note(answer=number, body=reply)
        return reply

    def refused(self, number, reason):
        self.note(answer=number, error=reason)
        assert reason in REPEATABLE, f"call {number} was answered {reason}"

    async def call(self, nc, user, method, body):
        operation = next(self.calls)
        async with asyncio.timeout(DEADLINE_S * 3):
            while True:
                reply = await self.attempt(nc, operation, user, method, body)
                if reply is not None:
                    return reply
                self.repeats += 1
                await asyncio.sleep(REPEAT_S)

    async def chat(self, nc, user, other):
        for number in itertools.count(1):
            if self.stopping:
                return
            message = {"type": 1, "message": f"{user} says {number}"}
            message["localMessageID"] = f"{user}-{number}-{time.time_ns()}"
            body = {"message": message, "toUserID": other, "config": {}}
            await self.call(nc, user, "send_peer_message", body)
            self.acknowledged += 1
            if number % 5 == 0:
                body = {"conversationID": other, "conversationType": 0}
                await self.call(nc, other, "clear_conversation_unread_message_count", body)
            await asyncio.sleep(INTERVAL_S)

    async def listen(self, nc):
        async def take(msg):
            _, _, user, event = msg.subject.split(".")
            body = CODECS[msg.headers["Content-Type"]].decode(msg.data)
            self.note(event=event, user=user, body=body)

        for user in self.users:
            await nc.subscribe(f"peer.event.{token(user)}.*", cb=take)
        await nc.flush()
        for user in self.users:
            self.note(listening=user)

    async def until_acknowledged(self, more):
        """Waits until so many more messages were acknowledged."""
        count = self.acknowledged + more
        async with asyncio.timeout(DEADLINE_S * 3):
            while self.acknowledged < count:
                await asyncio.sleep(POLL_S)

    @contextlib.contextmanager
    def disturbed(self):
        """For the time of the block, events may be lost."""
        self.note(disturbed="nats")
        yield
        self.note(calm=True)

    @contextlib.asynccontextmanager
    async def running(self):
        """Chats until the end of the block; fails with the first call that must not be repeated."""
        connected = []
        try:
            for place in range(len(self.urls)):
                nc = nats.NATS()
                await nc.connect(
                    self.urls[place:] + self.urls[:place],
                    dont_randomize=True,
                    reconnect_time_wait=0.1,
                    max_reconnect_attempts=-1,
                    **self.options,
                )
                connected.append(nc)
            await self.listen(connected[0])
            logins = (self.call(connected[0], user, "login", {}) for user in self.users)
            await asyncio.gather(*logins)
            async with asyncio.TaskGroup() as group:
                ring = zip(self.users, self.users[1:] + self.users[:1], itertools.cycle(connected))
                for one, other, nc in ring:
                    group.create_task(self.chat(nc, one, other))
                yield self
                self.stopping = True
            await asyncio.sleep(QUIET_S)
        finally:
            for nc in connected:
                await nc.close()
            self.file.flush()
