"""The stream of events: in the order of their revisions, without gaps, each message once.

The consumer of the stream sets the pace: until it takes an event, nothing is done for the next.
State changes only beside the event that shows the change, so a failure loses nothing.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from nats.aio.msg import Msg

from .shapes import AnyEvent, Event
from .wire import body_of

# Events beyond these bounds are dropped, and what they said is read again.
MAX_EVENTS, MAX_BYTES = 2000, 32 * 1024 * 1024
# Conversations of which it is known what was shown; the longest unused is forgotten.
MAX_CONVERSATIONS = 2000
# Numbers of a sender's messages that were not shown and may still come late.
MAX_MISSING = 1000
PAGE = 100
RECEIVED, REVOKED = 1, 31
Read = Callable[[str, Any], Awaitable[Any]]
UPDATED: dict[str, Any] = {"event": 1, "action": 2}
TOTAL = "conversation_total_unread_message_count_updated"
COUNTS = ("unreadMessageCount", "unreadMessageCountIncludingMuted")


def event(name: str, body: dict[str, Any]) -> AnyEvent:
    return cast(AnyEvent, Event(name, body))


class Shown:
    """What was shown of one conversation: the numbers of its messages, and the newest."""

    def __init__(self) -> None:
        self.newest: tuple[int, str] = (0, "")  # orderKey, messageID
        self.base = self.top = 0
        self.missing: dict[int, None] = {}

    def follows_gap(self, seq: int) -> bool:
        return self.top > 0 and seq > self.top + 1

    def show(self, message: dict[str, Any]) -> bool:
        """Notes that a message is shown; false if it was before."""
        seq = message["messageSeq"]
        if seq == 0:  # a Command: each is delivered once
            return True
        if self.base <= seq <= self.top and seq not in self.missing:
            return False
        self.missing.pop(seq, None)
        if self.top:
            below, above = range(seq + 1, self.base), range(self.top + 1, seq)
            self.missing |= dict.fromkeys([*below[-MAX_MISSING:], *above[-MAX_MISSING:]])
        while len(self.missing) > MAX_MISSING:  # the oldest are given up
            self.missing.pop(next(iter(self.missing)))
        self.base, self.top = min(self.base or seq, seq), max(self.top, seq)
        self.newest = max(self.newest, (message["orderKey"], message["messageID"]))
        return True


class Inbox:
    """`read` makes a call; `on_kicked` ends the session."""

    def __init__(self, read: Read, on_kicked: Callable[[], Awaitable[None]]) -> None:
        self.revision: int | None = None  # everything up to this one was shown
        self.session_id = ""
        self._read, self._on_kicked = read, on_kicked
        self._covered = 0  # up to this one, states were read
        self._queue: deque[tuple[str, dict[str, Any], int]] = deque()  # name, body, size
        self._bytes = 0
        self._shown: OrderedDict[str, Shown] = OrderedDict()
        self._is_open = self._is_stale = self._is_waiting = self._is_ended = False
        self._wake = asyncio.Event()
        self._stream: AsyncIterator[AnyEvent] | None = None
        self._step: asyncio.Task[AnyEvent] | None = None

    async def push(self, msg: Msg) -> None:
        """Takes an event as it arrived."""
        if len(self._queue) >= MAX_EVENTS or self._bytes + len(msg.data) > MAX_BYTES:
            self._queue.clear()
            self._bytes = 0
            self._is_stale = True
        else:
            self._queue.append((msg.subject.rsplit(".", 1)[1], body_of(msg), len(msg.data)))
            self._bytes += len(msg.data)
        self._wake.set()

    def follow(self, session_id: str, revision: int) -> None:
        """A session began: the first, or one after which something may be missing."""
        self.session_id = session_id
        if self.revision is None:
            self.revision = self._covered = revision
        else:
            self._is_stale = True
        self._wake.set()

    def open(self, is_open: bool) -> None:
        """Until a session has begun, events wait."""
        self._is_open = is_open
        self._wake.set()

    def end(self) -> None:
        self._is_ended = True
        self._wake.set()
        if self._step and self._step is not asyncio.current_task():
            self._step.cancel()

    async def next(self) -> AnyEvent:
        if self._is_waiting:
            raise RuntimeError("the events have one consumer")
        self._is_waiting = True
        self._step = step = self._step or asyncio.create_task(self._advance())
        try:
            await asyncio.wait(
                {step}
            )  # if this is cancelled, the next call waits for the same step
        finally:
            self._is_waiting = False
        self._step = None
        if step.cancelled():
            raise StopAsyncIteration
        return step.result()

    async def _advance(self) -> AnyEvent:
        self._stream = self._stream or self._run()
        try:
            return await anext(self._stream)
        except BaseException:
            self._stream = None  # a new one begins where it was
            raise

    async def _run(self) -> AsyncIterator[AnyEvent]:
        while not self._is_ended:
            if self._is_open and self._is_stale:
                async for one in self._catch_up():
                    yield one
            elif self._is_open and self._queue:
                name, body, size = head = self._queue[0]
                async for one in self._take(name, body):
                    yield one
                if self._queue and self._queue[0] is head:
                    self._queue.popleft()
                    self._bytes -= size
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _take(self, name: str, body: dict[str, Any]) -> AsyncIterator[AnyEvent]:
        revision, last = body["revision"], self.revision or 0
        is_after_gap = revision > last and body["previousRevision"] != last
        if is_after_gap or body.get("isContentOmitted"):
            async for one in self._catch_up():
                yield one
        revisions = {name: body[name] for name in ("revision", "previousRevision")}
        parts: list[dict[str, Any]] = [{"event": name, "body": body}]
        if body.get("isContentOmitted"):
            parts = []
        elif name == "bundle":
            parts = body["events"]
        for part in parts:
            async for one in self._show(part["event"], part["body"] | revisions):
                yield one
        self.revision = max(self.revision or 0, revision)

    async def _show(self, name: str, body: dict[str, Any]) -> AsyncIterator[AnyEvent]:
        if name in ("conversation_changed", TOTAL) and body["revision"] < self._covered:
            return  # a newer state was shown
        if name == "peer_message_received":
            peer, messages = body["fromConversationID"], body["messageList"]
            is_live = not body["info"]["isOfflineMessage"]
            if is_live and self._of(peer).follows_gap(messages[0]["messageSeq"]):
                async for one in self._read_missed(peer, self.revision or 0):
                    yield one
            body["messageList"] = [m for m in messages if self._of(peer).show(m)]
            if not body["messageList"]:
                return
        elif name == "connection_state_changed" and body["sessionID"] == self.session_id:
            await self._on_kicked()
        yield event(name, body)

    def _of(self, conversation_id: str) -> Shown:
        shown = self._shown.pop(conversation_id, None) or Shown()
        self._shown[conversation_id] = shown
        if len(self._shown) > MAX_CONVERSATIONS:
            self._shown.popitem(last=False)
        return shown

    async def _catch_up(self) -> AsyncIterator[AnyEvent]:
        """Shows what changed since the last revision, a page of conversations after the other."""
        since, self._is_stale = self.revision or 0, False
        revisions = {"revision": since, "previousRevision": since}
        start: dict[str, Any] = {"count": PAGE}
        try:
            yield event("catching_up", revisions)
            first, ids, config = None, list[str](), start
            while True:
                page = await self._read("query_changes", {"revision": since, "config": config})
                if first and page.get("reset") and not first.get("reset"):
                    first, ids, config = None, [], start
                    continue
                if not first and page["revision"] < since:
                    self._shown.clear()  # an older backup: numbers of messages come again
                first = first or page
                conversations = page["conversationList"]
                if not conversations:
                    break
                for conversation in conversations:
                    async for one in self._read_missed(conversation["conversationID"], since):
                        yield one
                infos = [UPDATED | {"conversation": c} for c in conversations]
                yield event("conversation_changed", {"infoList": infos} | revisions)
                ids += [c["conversationID"] for c in conversations]
                config = start | {"nextConversation": conversations[-1]}
            total = await self._read("query_conversation_total_unread_message_count", {})
            counts = {f"total{name[0].upper()}{name[1:]}": total[name] for name in COUNTS}
            yield event(TOTAL, counts | revisions)
        except BaseException:
            self._is_stale = True
            raise
        self.revision = self._covered = first["revision"]
        flags = {name: first.get(name, False) for name in ("reset", "blacklistChanged")}
        changed: dict[str, Any] = {"conversationIDs": ids, "previousRevision": since}
        yield event("caught_up", changed | {"revision": self.revision} | flags)

    async def _read_missed(self, peer: str, since: int) -> AsyncIterator[AnyEvent]:
        """Shows the messages after the newest that was shown, or else after a revision."""
        shown = self._of(peer)
        after = shown.newest[1] or await self._newest_before(peer, since)
        while page := await self._page(peer, after, reverse=False):
            after = page[-1]["messageID"]
            received = [m for m in page if m["direction"] == RECEIVED and shown.show(m)]
            if messages := [m for m in received if m["type"] != REVOKED]:
                body: dict[str, Any] = {"messageList": messages, "fromConversationID": peer}
                body |= {"info": {"isOfflineMessage": True}, "revision": since}
                yield event("peer_message_received", body | {"previousRevision": since})

    async def _newest_before(self, peer: str, revision: int) -> str:
        """The last message up to a revision, which is an order key; "" if there is none."""
        oldest = ""
        while page := await self._page(peer, oldest, reverse=True):
            for message in reversed(page):
                if message["orderKey"] <= revision:
                    return str(message["messageID"])
            oldest = page[0]["messageID"]
        return ""

    async def _page(self, peer: str, message_id: str, reverse: bool) -> list[dict[str, Any]]:
        config: dict[str, Any] = {"count": PAGE, "reverse": reverse}
        if message_id:
            config["nextMessage"] = {"messageID": message_id}
        reply = await self._read(
            "query_history_message", {"conversationID": peer, "config": config}
        )
        return cast(list[dict[str, Any]], reply["messageList"])
