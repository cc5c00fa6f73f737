"""A client of peerd for one device of a user: calls, a queue of messages, a stream of events."""

import asyncio
import contextlib
import logging
import math
import random
import time
import uuid
from collections.abc import Iterator
from typing import Any, Self, cast
from weakref import WeakValueDictionary

import nats
import nats.errors
from nats.aio.client import Client as Connection

from . import wire
from .inbox import Inbox
from .methods import Methods
from .shapes import AnyEvent, LoggedIn, Message
from .wire import NotConnected, PeerdError, QueueFull, Refused, Unanswered, token

TEXT, COMMAND = 1, 2
SENDS = {"send_peer_message", "send_message", "reply_message"}
# peerd recognizes a repeat for 10 minutes, and with `isRetrySend` for a day: switch in between.
RETRY_SEND_AFTER_S = 300
MAX_PAUSE_S = 5
log = logging.getLogger("peerd")


def pauses() -> Iterator[float]:
    """Pauses between attempts: doubled from 0.1 s on, each shortened at random."""
    pause = 0.1
    while True:
        yield pause * random.uniform(0.5, 1)
        pause = min(2 * pause, MAX_PAUSE_S)


class Client(Methods):
    """One device of a user. `async with` connects and closes, `async for` gives its events.

    `nats_options` go to `nats.connect`: `password`, `token`, `user_credentials`, `tls`, … Without
    a `user`, a password is that of the userID. Times are in seconds. A device that keeps messages
    gives its `device_id`, and as `replay_after` the `orderKey` of the newest one that it has.
    """

    def __init__(
        self,
        user_id: str,
        servers: str | list[str] = "nats://127.0.0.1:4222",
        *,
        user_name: str | None = None,
        device_id: str | None = None,
        platform: str | None = None,
        replay_after: int | None = None,
        encoding: str = "msgpack",
        subject_prefix: str = "peer",
        call_timeout: float = 60,
        request_timeout: float = 10,
        send_timeout: float = 600,
        max_queued: int = 1000,
        **nats_options: Any,
    ) -> None:
        if nats_options.get("password"):
            nats_options.setdefault("user", user_id)
        self.user_id = user_id
        self.session: LoggedIn | None = None
        # A login with the same deviceID replaces the session of the one before.
        self._login = {
            "userName": user_name,
            "deviceID": device_id or uuid.uuid4().hex,
            "platform": platform,
            "replayAfter": replay_after,
        }
        self._servers, self._nats_options = servers, nats_options
        self._encoding, self._prefix = wire.ENCODINGS[encoding], subject_prefix
        self._call_timeout, self._request_timeout = call_timeout, request_timeout
        self._send_timeout, self._max_queued = send_timeout, max_queued
        self._queued = 0
        self._queues: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._nats: Connection | None = None
        self._lost: asyncio.Future[None] | None = None
        self._ready = asyncio.Event()
        self._is_closed = False
        self._logging_in = asyncio.Lock()
        self._inbox = Inbox(self._read, self.close)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection with a session. Calls wait for it."""
        return self._ready.is_set() and not self._is_closed

    async def connect(self, within: float = 30) -> None:
        """Connects and logs in; raises if that is refused, or does not succeed in time."""
        try:
            async with asyncio.timeout(within):
                await self._begin(is_first=True)
        except BaseException as error:
            await self.close()
            if isinstance(error, TimeoutError):
                raise Unanswered(f"no session in {within} s", False) from error
            raise
        self._tasks = [asyncio.create_task(work()) for work in (self._stay, self._heartbeats)]

    async def close(self) -> None:
        """Closes the connection. The session stays until its idle limit; see `log_out`."""
        self._is_closed = True
        self._ready.set()  # calls that wait see the end
        self._inbox.end()
        for task in self._tasks:
            task.cancel()
        if self._nats:
            await self._nats.close()

    async def log_out(self) -> None:
        """Ends the session at peerd, and closes."""
        if self.session:
            await self.call("logout", {"sessionID": self.session["sessionID"]})
        await self.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyEvent:
        """The next event: in order, without gaps, each message once. May be cancelled."""
        return await self._inbox.next()

    async def send(self, to: str, text: str) -> Message:
        """Sends a text, and returns the message as it was stored."""
        message: dict[str, Any] = {"type": TEXT, "message": text}
        reply = await self.call("send_peer_message", {"toUserID": to, "message": message})
        return cast(Message, reply["message"])

    async def call(self, method: str, body: Any = None, within: float | None = None) -> Any:
        """Calls a method, repeated until it succeeds, is refused for good, or the time is over."""
        body = body or {}
        if method in SENDS:
            return await self._send(method, body, within or self._send_timeout)
        # Each addition counts, so it is not repeated once it may have been made.
        is_once = method == "add_message_reaction" and "increaseCount" in (body.get("config") or {})
        return await self._repeat(method, body, within or self._call_timeout, is_once)

    async def _read(self, method: str, body: Any) -> Any:
        """A part of catching up, which goes on until it succeeds."""
        return await self._repeat(method, body, math.inf, False)

    async def _send(self, method: str, body: Any, within: float) -> Any:
        """The messages of a conversation are stored in the order of the calls: one at a time."""
        message = body.get("message", {})
        if message.get("type") == COMMAND:
            return await self._repeat(method, body, within, is_once=True)
        if self._queued >= self._max_queued:
            raise QueueFull(f"{self._queued} messages wait to be sent")
        body = {**body, "message": {"localMessageID": str(uuid.uuid4()), **message}}
        to = body.get("toUserID") or body.get("toConversationID") or body.get("conversationID")
        queue = self._queues.setdefault(str(to), asyncio.Lock())
        deadline = time.monotonic() + within
        self._queued += 1
        try:
            async with queue:
                return await self._repeat(method, body, deadline - time.monotonic(), False)
        finally:
            self._queued -= 1

    async def _repeat(self, method: str, body: Any, within: float, is_once: bool) -> Any:
        began = time.monotonic()
        failure: Refused | Unanswered = Unanswered("not connected", False)
        is_in_doubt = is_logged_out = False
        for pause in pauses():
            left = within + began - time.monotonic()
            if left <= 0 or not await self._is_ready(left):
                raise failure
            if method in SENDS and time.monotonic() - began > RETRY_SEND_AFTER_S:
                body = {**body, "config": {**body.get("config", {}), "isRetrySend": True}}
            session = self.session
            try:
                if is_logged_out:
                    await self._log_in(session)
                return await self._request(method, body, min(self._request_timeout, left))
            except Refused as refused:
                refused.after_unknown_outcome = is_in_doubt
                is_logged_out = refused.code == wire.NOT_LOGGED_IN
                if not is_logged_out and refused.reason not in wire.PASSING:
                    raise
                is_in_doubt |= refused.reason == "outcome_unknown"
                pause = max(pause, (refused.retry_after_ms or 0) / 1000)
                failure = refused
            except Unanswered as unanswered:
                is_in_doubt |= unanswered.may_have_taken_effect
                failure = unanswered
            if is_once and is_in_doubt:
                raise failure
            await asyncio.sleep(pause)

    async def _is_ready(self, within: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if within == math.inf else within):
                while not self._ready.is_set():  # it may be cleared before this is resumed
                    await self._ready.wait()
        if self._is_closed:
            raise NotConnected("the client is closed")
        return self._ready.is_set()

    async def _request(self, method: str, body: Any, timeout: float) -> Any:
        """One request. A lost connection ends it at once."""
        connection, lost = self._nats, self._lost
        if not connection or not lost or lost.done():
            raise Unanswered("not connected", False)
        subject = f"{self._prefix}.api.{token(self.user_id)}.{method}"
        headers = {"Content-Type": self._encoding.content_type}
        data = self._encoding.encode(body)
        reply_to = connection.request(subject, data, timeout=timeout, headers=headers)
        request = asyncio.ensure_future(reply_to)
        try:
            waiting: set[asyncio.Future[Any]] = {request, lost}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if lost.done() and (not request.done() or request.cancelled() or request.exception()):
                raise Unanswered("the connection was lost", True)
            reply = request.result()
        except nats.errors.NoRespondersError:
            raise Unanswered("no peerd runs", False) from None
        except (nats.errors.Error, TimeoutError) as error:
            raise Unanswered(f"no reply: {error}", True) from error
        finally:
            request.cancel()
        if "Nats-Service-Error-Code" in (reply.headers or {}):
            raise Refused(wire.body_of(reply))
        return wire.body_of(reply)

    async def _log_in(self, ended: LoggedIn | None) -> None:
        """Begins a session after the one that ended; one login at a time."""
        async with self._logging_in:
            if self.session is not ended:
                return
            # Revisions are order keys, so the last one says which messages this device has.
            after = self._inbox.revision or self._login["replayAfter"]
            body = {**self._login, "replayAfter": after}
            self.session = await self._request("login", body, self._request_timeout)
            self._inbox.follow(self.session["sessionID"], self.session["revision"])

    async def _begin(self, is_first: bool = False) -> None:
        """Connects and logs in, as often as it takes."""
        for pause in pauses():
            try:
                if not self._lost or self._lost.done():
                    await self._dial()
                await self._log_in(self.session)
                self._inbox.open(True)
                self._ready.set()
                return
            except (Refused, Unanswered, nats.errors.Error, OSError, TimeoutError) as error:
                # What an operator changes, for example a password, is waited for later on only.
                if is_first and isinstance(error, Refused) and error.reason not in wire.PASSING:
                    raise
                if is_first and "authorization" in str(error).lower():
                    raise NotConnected(f"NATS refused the credentials: {error}") from error
                log.warning("%s is not connected: %s", self.user_id, error)
            await asyncio.sleep(pause)

    async def _dial(self) -> None:
        """A new connection. Reconnects of nats-py are off: it gives up on some errors."""
        connection = Connection()
        lost = asyncio.get_running_loop().create_future()

        async def on_closed() -> None:
            if not lost.done():
                lost.set_result(None)
            if self._nats is connection and not self._is_closed:
                self._ready.clear()
                self._inbox.open(False)

        async def on_error(error: Exception) -> None:
            log.warning("NATS, for %s: %s", self.user_id, error)

        me = token(self.user_id)
        options = {"ping_interval": 20, "inbox_prefix": f"_INBOX_{me}", **self._nats_options}
        options |= {"allow_reconnect": False, "max_reconnect_attempts": 1}
        options |= {"reconnect_time_wait": 0, "closed_cb": on_closed, "error_cb": on_error}
        try:
            await connection.connect(self._servers, **options)
            await connection.subscribe(f"{self._prefix}.event.{me}.*", cb=self._inbox.push)
            await connection.flush()  # the server has the subscription
        except BaseException:
            await connection.close()
            raise
        self._nats, self._lost = connection, lost

    async def _stay(self) -> None:
        while self._lost:
            await asyncio.wait({self._lost})
            self._ready.clear()
            self._inbox.open(False)
            await self._begin()

    async def _heartbeats(self) -> None:
        while self.session:
            interval = self.session["heartbeatIntervalMs"] / 1000
            await asyncio.sleep(interval)
            with contextlib.suppress(PeerdError):  # the next one is soon
                await self.call("heartbeat", within=interval)
