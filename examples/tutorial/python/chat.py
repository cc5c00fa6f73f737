"""The chat client of docs/tutorial.md, in Python. Each region is a listing of that page."""

# region imports
import asyncio
import base64
import contextlib
import json
import os
import time
import uuid

import msgpack
import nats
import nats.errors
# endregion


# region token
PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~"


def token(user_id):
    """The subject token of a userID: percent-encoded, the dot too, with upper-case hex."""
    return "".join(chr(b) if b in PLAIN else f"%{b:02X}" for b in user_id.encode())
# endregion


# region codecs
class Json:
    content_type = "application/json"

    @staticmethod
    def encode(body):
        return json.dumps(body, default=lambda data: base64.b64encode(data).decode()).encode()

    decode = staticmethod(json.loads)


class MessagePack:
    content_type = "application/msgpack"
    encode = staticmethod(msgpack.packb)
    decode = staticmethod(msgpack.unpackb)


CODECS = {codec.content_type: codec for codec in (Json, MessagePack)}
# endregion


# region refused
class Refused(Exception):
    """A call that peerd answered with an error."""

    def __init__(self, body):
        super().__init__(f"{body['code']} {body['reason']}: {body['message']}")
        self.code = body["code"]
        self.reason = body["reason"]
        self.retry_after_s = body.get("retryAfterMs", 0) / 1000
# endregion


# region constants
TEXT = 1
NOT_LOGGED_IN = 6000121
# Longer than peerd takes at most: it waits up to 2 s for an owner and 5 s for the store.
TIMEOUT_S = 10
REPEATABLE = {"rate_limited", "overloaded", "store_unavailable", "outcome_unknown"}
UNANSWERED = (nats.errors.TimeoutError, nats.errors.NoRespondersError)
# endregion


class Client:
    """One device of one user."""

    # region connect
    def __init__(self, user_id, device_id, codec=Json):
        self.user_id = user_id
        self.device_id = device_id
        self.codec = codec
        self.revision = None
        self.unread = 0
        self.conversations = {}
        self.messages = {}  # conversationID -> messageID -> message
        self.last_seq = {}  # (conversationID, senderUserID) -> the largest messageSeq
        self.state = asyncio.Lock()  # one login or event at a time changes what is above
        self.on_change = lambda: None  # draws the screen
        self.tasks = set()

    async def connect(self, url, password):
        me = token(self.user_id)
        self.nc = await nats.connect(
            url,
            user=self.user_id,
            password=password,
            inbox_prefix=f"_INBOX_{me}",
            ping_interval=20,
            max_reconnect_attempts=-1,
            reconnected_cb=self.on_reconnected,
        )
        await self.nc.subscribe(f"peer.event.{me}.*", cb=self.on_event)
        await self.nc.flush()  # the server has the subscription
        await self.begin_session()
        self.in_background(self.send_heartbeats())
    # endregion

    # region background
    def in_background(self, work):
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def close(self):
        for task in list(self.tasks):
            task.cancel()
        await self.nc.close()
    # endregion

    # region call_once
    async def call_once(self, method, body):
        reply = await self.nc.request(
            f"peer.api.{token(self.user_id)}.{method}",
            self.codec.encode(body),
            timeout=TIMEOUT_S,
            headers={"Content-Type": self.codec.content_type},
        )
        headers = reply.headers or {}
        answer = CODECS[headers["Content-Type"]].decode(reply.data)
        if "Nats-Service-Error-Code" in headers:
            raise Refused(answer)
        return answer
    # endregion

    # region call
    async def call(self, method, body, within_s=60):
        """Repeats a call until it succeeds, or is refused for a reason that will not pass."""
        deadline = time.monotonic() + within_s
        pause_s = 0.1
        while True:
            wait_s = pause_s
            try:
                return await self.call_once(method, body)
            except Refused as refused:
                if refused.code == NOT_LOGGED_IN and method != "login":
                    await self.log_in()
                elif refused.reason not in REPEATABLE:
                    raise
                wait_s = max(wait_s, refused.retry_after_s)
                failure = refused
            except UNANSWERED as unanswered:
                failure = unanswered
            if time.monotonic() + wait_s > deadline:
                raise failure
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, 5)
    # endregion

    # region log_in
    async def log_in(self):
        received = [
            message["orderKey"]
            for messages in self.messages.values()
            for message in messages.values()
        ]
        return await self.call(
            "login",
            {
                "deviceID": self.device_id,
                "userName": self.user_id.title(),
                "replayAfter": max(received, default=0),
            },
        )

    async def begin_session(self):
        """After each connect and reconnect: logs in, and reads what changed meanwhile."""
        async with self.state:
            session = await self.log_in()
            self.heartbeat_s = session["heartbeatIntervalMs"] / 1000
            self.unread = session["totalUnreadMessageCount"]
            if session["revision"] != self.revision:
                await self.catch_up()
            self.revision = session["revision"]
            self.on_change()
    # endregion

    # region reconnect
    async def on_reconnected(self):
        # nats-py has subscribed again. It waits for this callback, so the work goes on beside it.
        self.in_background(self.begin_session())

    async def send_heartbeats(self):
        while True:
            await asyncio.sleep(self.heartbeat_s)
            with contextlib.suppress(Refused, *UNANSWERED):  # the next one is soon
                await self.call("heartbeat", {}, within_s=self.heartbeat_s)
    # endregion

    # region send
    async def send(self, to, text, local_message_id=None, is_retry=False):
        """Sends a text; gives up after a minute. Repeat it with the same ID, even tomorrow."""
        message = {
            "type": TEXT,
            "message": text,
            "localMessageID": local_message_id or str(uuid.uuid4()),
        }
        body = {"toUserID": to, "message": message, "config": {"isRetrySend": is_retry}}
        return (await self.call("send_peer_message", body))["message"]
    # endregion

    # region keep
    def keep(self, peer, message):
        """Keeps a message once; false if the device misses messages of its sender before it."""
        self.messages.setdefault(peer, {})[message["messageID"]] = message
        sender = (peer, message["senderUserID"])
        last = self.last_seq.get(sender)
        self.last_seq[sender] = max(last or 0, message["messageSeq"])
        return last is None or message["messageSeq"] <= last + 1

    def history(self, peer):
        messages = self.messages.get(peer, {}).values()
        return sorted(messages, key=lambda message: message["orderKey"])
    # endregion

    # region on_event
    async def on_event(self, msg):
        name = msg.subject.rsplit(".", 1)[1]
        body = CODECS[msg.headers["Content-Type"]].decode(msg.data)
        async with self.state:
            if self.revision is None:
                return  # not logged in yet: the login reads everything
            is_new = body["revision"] > self.revision
            missed_one = is_new and body["previousRevision"] != self.revision
            if missed_one or body.get("isContentOmitted"):
                await self.catch_up()
            self.revision = max(self.revision, body["revision"])
            await self.apply(name, body)
            self.on_change()

    async def apply(self, name, body):
        match name:
            case "bundle":  # all events of one change, where peerd is configured so
                for one in body.get("events", []):
                    await self.apply(one["event"], one["body"])
            case "peer_message_received":
                for message in body.get("messageList", []):
                    await self.add(body["fromConversationID"], message)
            case "conversation_changed":
                for info in body.get("infoList", []):
                    conversation = info["conversation"]
                    self.conversations[conversation["conversationID"]] = conversation
                    # Messages that this user sent, on any device, arrive only here.
                    if last := conversation.get("lastMessage"):
                        await self.add(conversation["conversationID"], last)
            case "conversation_total_unread_message_count_updated":
                self.unread = body.get("totalUnreadMessageCount", self.unread)
            case "message_deleted":
                peer = body["conversationID"]
                if body["isDeleteConversationAllMessage"]:
                    self.messages.pop(peer, None)
                for message in body["messageList"]:
                    self.messages.get(peer, {}).pop(message["messageID"], None)
            case "connection_state_changed":
                pass  # if body["sessionID"] is this device's: it was logged out, tell its user
    # endregion

    # region catch_up
    async def add(self, peer, message):
        known = self.history(peer)
        if known and message["orderKey"] < known[0]["orderKey"]:
            return  # from before what this device has read: it comes with `older`
        if not self.keep(peer, message):
            await self.read_after(peer, known[-1:])

    async def catch_up(self):
        """Reads the conversation list, and the messages that this device does not have."""
        config = {"count": 100}
        while page := await self.conversation_page(config):
            for conversation in page:
                peer = conversation["conversationID"]
                self.conversations[peer] = conversation
                newest = self.history(peer)[-1:]
                last = conversation.get("lastMessage")
                if last and last["messageID"] not in self.messages.get(peer, {}):
                    await self.read_after(peer, newest)
            config["nextConversation"] = page[-1]
        totals = await self.call("query_conversation_total_unread_message_count", {})
        self.unread = totals["unreadMessageCount"]

    async def conversation_page(self, config):
        return (await self.call("query_conversation_list", {"config": config}))["conversationList"]

    async def read_after(self, peer, newest):
        """Pages forward from the newest message; of an unknown conversation, the newest page."""
        config = {"count": 100, "reverse": not newest}
        if newest:
            config["nextMessage"] = {"messageID": newest[0]["messageID"]}
        while page := await self.history_page(peer, config):
            for message in page:
                self.keep(peer, message)
            if not newest:
                break
            config["nextMessage"] = {"messageID": page[-1]["messageID"]}

    async def history_page(self, peer, config):
        body = {"conversationID": peer, "config": config}
        return (await self.call("query_history_message", body))["messageList"]
    # endregion

    # region read
    async def older(self, peer):
        """For scrolling back: the page before the oldest message that this device has."""
        config = {"count": 30, "reverse": True}
        if known := self.history(peer):
            config["nextMessage"] = {"messageID": known[0]["messageID"]}
        page = await self.history_page(peer, config)
        for message in page:
            self.keep(peer, message)
        return page

    async def mark_read(self, peer):
        await self.call("clear_conversation_unread_message_count", {"conversationID": peer})
    # endregion


# region main
async def main():
    url = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
    alice, bob = Client("alice", "laptop"), Client("bob", "phone")
    await alice.connect(url, "alice-secret")
    await bob.connect(url, "bob-secret")
    await alice.send("bob", "Hello, Bob!")
    while not bob.unread:  # the last of the three events
        await asyncio.sleep(0.01)
    print(bob.history("alice")[-1]["message"], "unread:", bob.unread)
    await bob.mark_read("alice")
    await alice.close()
    await bob.close()


if __name__ == "__main__":
    asyncio.run(main())
# endregion
