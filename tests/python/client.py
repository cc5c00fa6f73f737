"""A client of peerd for one user, written from docs/protocol.md and nothing else.

All that it sends and receives is compared with the schemas of the contract.
"""

import asyncio
import base64
import json
from dataclasses import dataclass

import msgpack
import schemas

TEXT, COMMAND, IMAGE, BARRAGE, CUSTOM = 1, 2, 11, 20, 200
PEER, GROUP = 0, 2
SEND, RECEIVE = 0, 1
SUCCESS = 1
NOTIFY, DO_NOT_DISTURB = 1, 2
ADDED, UPDATED, DELETED = 0, 1, 3
# The same in the numbers of the SDK's 3.x.
ACTIONS = {ADDED: 0, UPDATED: 2, DELETED: 1}
BLOCKED, UNBLOCKED = 0, 1
MESSAGE_LIST_DELETED, CONVERSATION_ALL_MESSAGES_DELETED = 0, 1
# The status of a read receipt.
PROCESSING, DONE = 1, 2

MESSAGE_RECEIVED = "peer_message_received"
CONVERSATION_CHANGED = "conversation_changed"
TOTAL_UPDATED = "conversation_total_unread_message_count_updated"
MESSAGE_DELETED = "message_deleted"
BLACKLIST_CHANGED = "blacklist_changed"
PINS_CHANGED = "message_pin_status_changed"
REACTIONS_CHANGED = "message_reactions_changed"
REPLIED_COUNT_CHANGED = "message_replied_count_changed"
REPLIED_INFO_CHANGED = "message_replied_info_changed"
RECEIPT_CHANGED = "conversation_message_receipt_changed"
CONNECTION_CHANGED = "connection_state_changed"
BUNDLE = "bundle"

# Long enough for a loaded machine; a wait that succeeds ends as soon as its condition holds.
DEADLINE_S = 20


class Json:
    content_type = "application/json"

    @staticmethod
    def encode(body):
        return json.dumps(body, default=lambda data: base64.b64encode(data).decode()).encode()

    decode = staticmethod(json.loads)

    @staticmethod
    def bytes_of(value):
        """The bytes of a command message as they arrive: base64 text."""
        return base64.b64decode(value, validate=True)


class MessagePack:
    content_type = "application/msgpack"
    encode = staticmethod(msgpack.packb)
    decode = staticmethod(msgpack.unpackb)

    @staticmethod
    def bytes_of(value):
        """The bytes of a command message as they arrive: `bin`, never `str`."""
        assert isinstance(value, bytes)
        return value


CODECS = {codec.content_type: codec for codec in (Json, MessagePack)}


@dataclass(eq=False)
class Rejected(Exception):
    """A call that peerd answered with an error."""

    code: int
    reason: str
    message: str
    retry_after_ms: int | None


def token(user_id):
    """The subject token of a userID: percent-encoded, but for A-Z a-z 0-9 - _ ~."""
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~"
    return "".join(chr(b) if b in plain else f"%{b:02X}" for b in user_id.encode())


def read_reply(reply, codec):
    """The body of a reply, with what its headers must say checked; raises what is an error."""
    headers = reply.headers or {}
    assert headers.get("Content-Type") == codec.content_type
    body = codec.decode(reply.data)
    if "Nats-Service-Error-Code" not in headers:
        assert "Nats-Service-Error" not in headers
        return body
    schemas.check(schemas.FAILURE, body)
    assert headers["Nats-Service-Error"]
    assert headers["Nats-Service-Error-Code"] == str(body["code"])
    raise Rejected(body["code"], body["reason"], body["message"], body.get("retryAfterMs"))


class User:
    """One user on one connection: its calls, and its events in order."""

    def __init__(self, nc, user_id, codec):
        self.nc = nc
        self.id = user_id
        self.codec = codec
        self.revision = None
        self._events = asyncio.Queue()
        self._bundled = []
        self._fence = NOTIFY

    async def listen(self):
        """Subscribes to all events of this user, before any can be published."""
        subject = f"peer.event.{token(self.id)}.*"
        await self.nc.subscribe(subject, cb=self._events.put)
        await self.nc.flush()

    async def close(self):
        """Its connection is closed by whoever opened it."""

    async def login(self, **fields):
        reply = await self.call("login", {"userName": self.id, **fields})
        self.revision = reply["revision"]
        return reply

    async def request(self, method, data, content_type=None):
        """A request with the body as given; returns the reply as it came."""
        headers = {"Content-Type": content_type} if content_type else None
        subject = f"peer.api.{token(self.id)}.{method}"
        return await self.nc.request(subject, data, timeout=DEADLINE_S, headers=headers)

    async def call(self, method, body=None):
        """Calls in this user's encoding; returns the reply's body or raises `Rejected`."""
        data = self.codec.encode(body or {})
        reply = await self.request(method, data, self.codec.content_type)
        reply = read_reply(reply, self.codec)
        schemas.check_request(method, body or {})
        schemas.check_reply(method, reply)
        return reply

    async def send(self, other, message, **config):
        """Sends a message to another user and returns the sent result."""
        body = {"message": message, "toUserID": other.id, "config": config}
        return (await self.call("send_peer_message", body))["message"]

    async def next_event(self):
        """The name and body of the next event, which must follow on the one before."""
        if self._bundled:
            return self._bundled.pop(0)
        message = await asyncio.wait_for(self._events.get(), DEADLINE_S)
        assert message.headers["Content-Type"] == self.codec.content_type
        body = self.codec.decode(message.data)
        # Events of one change share its revision; the first of a change names the one before.
        assert body["revision"] == self.revision or body["previousRevision"] == self.revision
        self.revision = body["revision"]
        name = message.subject.rsplit(".", 1)[1]
        schemas.check_event(name, body)
        if name != BUNDLE:
            return name, body
        revisions = {field: body[field] for field in ("revision", "previousRevision")}
        self._bundled = [(one["event"], one["body"] | revisions) for one in body["events"]]
        return self._bundled.pop(0)

    async def event(self, name):
        """The body of the next event, which must be `name`."""
        name_seen, body = await self.next_event()
        assert name_seen == name, body
        return body

    async def conversation_event(self, other_id):
        """The next event, which must tell of one conversation: what happened to it, and itself."""
        [info] = (await self.event(CONVERSATION_CHANGED))["infoList"]
        assert info["conversation"]["conversationID"] == other_id
        assert info["action"] == ACTIONS[info["event"]]
        return info["event"], info["conversation"]

    async def total_event(self):
        """The next event, which must be the total: as notified, and with the muted."""
        return totals(await self.event(TOTAL_UPDATED))

    async def received_nothing_more(self):
        """Proves, without waiting for silence, that peerd had nothing more to tell.

        Events come in the order of their changes, so a change of something else is a fence:
        its event is the next one exactly if nothing was published before it.
        """
        self._fence = NOTIFY + DO_NOT_DISTURB - self._fence
        await self.set_notification_status("fence", self._fence)
        _, conversation = await self.conversation_event("fence")
        assert conversation["notificationStatus"] == self._fence

    async def set_notification_status(self, other_id, status):
        body = {"status": status, "conversationID": other_id, "conversationType": PEER}
        reply = await self.call("set_conversation_notification_status", body)
        assert reply == {"conversationID": other_id, "conversationType": PEER}

    async def clear_unread(self, other_id):
        body = {"conversationID": other_id, "conversationType": PEER}
        assert await self.call("clear_conversation_unread_message_count", body) == body

    async def total(self):
        reply = await self.call("query_conversation_total_unread_message_count")
        assert reply["revision"] == self.revision
        return reply["unreadMessageCount"], reply["unreadMessageCountIncludingMuted"]

    async def conversation(self, other_id):
        body = {"conversationID": other_id, "conversationType": PEER}
        return (await self.call("query_conversation", body))["conversation"]

    async def page(self, other_id, count, reverse, next_message=None):
        """One page of history, oldest first."""
        config = {"count": count, "reverse": reverse}
        if next_message:
            config["nextMessage"] = next_message
        body = {"conversationID": other_id, "conversationType": PEER, "config": config}
        reply = await self.call("query_history_message", body)
        assert (reply["conversationID"], reply["conversationType"]) == (other_id, PEER)
        page = reply["messageList"]
        assert len(page) <= count
        assert page == sorted(page, key=lambda message: message["orderKey"])
        return page

    async def history(self, other_id, count=100, reverse=True):
        """The whole history, oldest first, gathered in pages of `count` from either end."""
        messages = page = await self.page(other_id, count, reverse)
        while page:
            # The messageID alone says where a page ended.
            end = {"messageID": page[0 if reverse else -1]["messageID"]}
            page = await self.page(other_id, count, reverse, end)
            older, newer = (page, messages) if reverse else (messages, page)
            assert not page or older[-1]["orderKey"] < newer[0]["orderKey"]
            messages = older + newer
        return messages


def totals(body):
    return body["totalUnreadMessageCount"], body["totalUnreadMessageCountIncludingMuted"]
