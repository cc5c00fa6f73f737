"""A test user that calls and listens through the package of clients/python.

Each body that passes must be what the types of the package say.
"""

import types
import typing

import peerd
from client import Json, Rejected, User
from peerd import requests, shapes
from peerd.methods import Methods

EVENTS = {
    name: typing.get_args(event)[1]
    for event in typing.get_args(shapes.AnyEvent)
    for name in typing.get_args(typing.get_args(event)[0])
}


class PackageUser(User):
    """The same as a `User`, on a connection of the package."""

    async def listen(self):
        url = self.nc.connected_url.geturl()
        encoding = "json" if self.codec is Json else "msgpack"
        self.client = peerd.Client(self.id, url, user_name=self.id, encoding=encoding)

    async def login(self):
        await self.client.connect()
        self.revision = self.client.session["revision"]
        check(self.client.session, shapes.LoggedIn, "login")

    async def close(self):
        await self.client.close()

    async def call(self, method, body=None):
        try:
            reply = await self.client.call(method, body)
        except peerd.Refused as refused:
            values = (refused.code, refused.reason, refused.message, refused.retry_after_ms)
            raise Rejected(*values) from refused
        if method != "logout":  # of the client itself
            request = "".join(part.capitalize() for part in method.split("_"))
            check(body or {}, getattr(requests, request), method, is_whole=False)
            check(reply, typing.get_type_hints(getattr(Methods, method))["return"], method)
        return reply

    async def next_event(self):
        event = await anext(self.client)
        body = event.body
        check(body, EVENTS[event.name], event.name)
        assert body["revision"] == self.revision or body["previousRevision"] == self.revision
        self.revision = body["revision"]
        return event.name, body


def check(value, kind, path, is_whole=True):
    """That a value has the given type; objects may have other fields only if not `is_whole`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is typing.Any:
        return
    if origin is typing.NotRequired:
        check(value, arguments[0], path, is_whole)
    elif typing.is_typeddict(kind):
        check_fields(value, kind, path, is_whole)
    elif origin in (typing.Union, types.UnionType):
        failures = []
        for one in arguments:
            try:
                return check(value, one, path, is_whole)
            except AssertionError as failure:
                failures.append(str(failure))
        raise AssertionError("; ".join(failures))
    elif origin is typing.Literal:
        assert value in arguments, f"{path} is {value!r}"
    elif origin is dict:
        assert isinstance(value, dict), f"{path} is {value!r}"
    elif origin:  # a list or a sequence
        assert isinstance(value, list), f"{path} is {value!r}"
        for one in value:
            check(one, arguments[0], f"{path}[]", is_whole)
    else:
        assert type(value) is kind, f"{path} is {value!r}, not {kind}"


def check_fields(value, kind, path, is_whole):
    assert isinstance(value, dict), f"{path} is {value!r}"
    hints = typing.get_type_hints(kind, include_extras=True)
    extra = value.keys() - hints.keys()
    assert not (is_whole and extra), f"{path} has {extra} too"
    for name, hint in hints.items():
        may_be_missing = (
            name in kind.__optional_keys__ or typing.get_origin(hint) is typing.NotRequired
        )
        assert may_be_missing or name in value, f"{path}.{name} is missing"
        if name in value:
            check(value[name], hint, f"{path}.{name}", is_whole)
