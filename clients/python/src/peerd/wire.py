"""Subjects, encodings and errors of the contract."""

import base64
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgpack
from nats.aio.msg import Msg

PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~"
NOT_LOGGED_IN = 6000121
# A call that was refused for one of these reasons is repeated.
PASSING = {"rate_limited", "overloaded", "store_unavailable", "outcome_unknown"}


def token(user_id: str) -> str:
    """The subject token of a userID: percent-encoded, the dot too, with upper-case hex."""
    return "".join(chr(b) if b in PLAIN else f"%{b:02X}" for b in user_id.encode())


class Encoding(NamedTuple):
    """An encoding of bodies. The bytes of a Command are base64 text in JSON."""

    content_type: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def to_json(body: Any) -> bytes:
    return json.dumps(body, default=lambda data: base64.b64encode(data).decode()).encode()


ENCODINGS = {
    "json": Encoding("application/json", to_json, json.loads),
    "msgpack": Encoding("application/msgpack", msgpack.packb, msgpack.unpackb),
}
BY_CONTENT_TYPE = {encoding.content_type: encoding for encoding in ENCODINGS.values()}


def body_of(msg: Msg) -> Any:
    """The body of a reply or event."""
    return BY_CONTENT_TYPE[(msg.headers or {})["Content-Type"]].decode(msg.data)


class PeerdError(Exception):
    """What calls and the stream of events raise."""


class Refused(PeerdError):
    """peerd answered the call with an error. `code` and `reason` are for programs."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(f"{body['code']} {body['reason']}: {body['message']}")
        self.code: int = body["code"]
        self.reason: str = body["reason"]
        self.message: str = body["message"]
        self.retry_after_ms: int | None = body.get("retryAfterMs")
        # An earlier attempt of the call was not answered: it may have taken effect.
        self.after_unknown_outcome = False


class Unanswered(PeerdError):
    """The call was not answered in time; if `may_have_taken_effect`, nobody knows its outcome."""

    def __init__(self, why: str, may_have_taken_effect: bool) -> None:
        super().__init__(why)
        self.may_have_taken_effect = may_have_taken_effect


class NotConnected(PeerdError):
    """There is no session: `connect` has not succeeded yet, or the session has ended."""


class QueueFull(PeerdError):
    """More messages wait to be sent than `max_queued` allows."""
