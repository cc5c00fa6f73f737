"""docs/conformance.toml against the typings of the SDK, and against a peerd.

Calls, replies and events are recorded while the examples of docs/protocol.md are played, and the
calls of conformance_calls.py after them. Each recorded body must be of the type that the typings
have for it, except for the differences that the classification names. All that is classified as
offered must be in the recorded bodies.
"""

import asyncio
import json
import re
import subprocess

import conformance_calls
import pytest
import schemas
from client import CODECS, Rejected, User
from conformance import (
    PACKAGES,
    ROOT,
    Classification,
    Schemas,
    Seen,
    TypeScript,
    Typings,
    interface,
    is_in,
    literal,
    snake_case,
)
from conftest import Json, connection, nats_server, peerd
from test_reference import PAGE, STEP, Story

CLASSIFICATION = Classification()
UNSUPPORTED = 6000013
EVENT_S = 20


@pytest.fixture(scope="module")
def typings():
    return Typings(CLASSIFICATION)


class Recorder(User):
    """A user whose calls are kept: (method, request, reply or None, failure or None)."""

    calls = []

    async def call(self, method, body=None):
        try:
            reply = await super().call(method, body)
        except Rejected as refused:
            failure = {"code": refused.code, "reason": refused.reason, "message": refused.message}
            if refused.retry_after_ms is not None:
                failure["retryAfterMs"] = refused.retry_after_ms
            self.calls.append((method, body or {}, None, failure))
            raise
        self.calls.append((method, body or {}, reply, None))
        return reply


class Recorded:
    """Calls in the form of the SDK, other calls, and events."""

    def __init__(self):
        self.sdk_calls, self.calls, self.events = [], [], []
        self.refused = {}  # method -> code

    def methods(self):
        return {method for method, _, reply, _ in self.sdk_calls + self.calls if reply is not None}


async def record(url, typings):
    recorded = Recorded()
    async with connection(url) as nc:

        async def on_event(message):
            body = CODECS[message.headers["Content-Type"]].decode(message.data)
            _, _, user, name = message.subject.split(".")
            recorded.events.append((user, name, body))

        await nc.subscribe("peer.event.*.*", cb=on_event)
        shown = await nc.subscribe("peer.event.*.*")
        await nc.flush()

        async def next_event():
            message = await shown.next_msg(timeout=EVENT_S)
            _, _, user, name = message.subject.split(".")
            return (user, name), json.loads(message.data)

        users = {name: Recorder(nc, name, Json) for name in ("alice", "bob", "carol", "dave", "erin")}
        story = Story(users)
        for step in STEP.finditer(PAGE):
            await story.play(step, next_event)
        recorded.calls, Recorder.calls = Recorder.calls, []
        await shown.unsubscribe()
        await conformance_calls.make(nc, typings, Recorder)
        recorded.sdk_calls, Recorder.calls = Recorder.calls, []
        await until_all_came(nc, recorded)
        for method in not_offered():
            with pytest.raises(Rejected) as refused:
                await users["alice"].call(method)
            recorded.refused[method] = refused.value.code
    return recorded


async def until_all_came(nc, recorded):
    """Waits for an event that is published after all others."""
    last = User(nc, "last", Json)
    await last.login()
    await last.set_notification_status("anyone", 2)
    async with asyncio.timeout(EVENT_S):
        while recorded.events[-1][0] != "last":
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def recorded(typings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("conformance")
    with nats_server(folder) as url, peerd(folder, url, Json):
        yield asyncio.run(record(url, typings))


def test_every_body_is_valid_by_its_schema_and_every_schema_is_used(recorded):
    """The requests and replies were compared when they were made."""
    for _, name, body in recorded.events:
        schemas.check_event(name, body)
    used = {f"reply.{method}" for method in recorded.methods()}
    used |= {f"event.{name}" for _, name, _ in recorded.events}
    defined = {name for name in schemas.DEFINITIONS if name.startswith(("reply.", "event."))}
    # Bundles are an option of the configuration.
    assert used == defined - {"event.bundle"}


@pytest.fixture(scope="module")
def seen(typings, recorded):
    seen = Seen(typings)
    for method, request, reply, failure in recorded.sdk_calls + recorded.calls:
        if failure:
            seen.take("ZIMError", failure)
        elif call := by_name(typings.methods).get(method):
            for parameter, declared in call["parameters"].items():
                if parameter in request:
                    seen.take(declared["type"], request[parameter])
            seen.take(call["result"], reply)
    for _, name, body in recorded.events:
        if event := by_name(typings.events).get(name):
            seen.take(event, body)
    return seen


def by_name(names):
    """Methods or events of the typings, by peerd's names."""
    return {snake_case(name): rest for name, rest in names.items()}


def once(names):
    """The names as a set; each must be there once."""
    repeated = {name for name in names if names.count(name) > 1}
    assert not repeated, f"classified twice: {sorted(repeated)}"
    return set(names)


@pytest.mark.parametrize("kind", ["methods", "events"])
def test_every_method_and_event_of_the_typings_is_classified(typings, kind):
    known, named = set(getattr(typings, kind)), once(CLASSIFICATION.named(kind))
    assert not known - named, "not classified"
    assert not named - known, "the typings do not have them"


def test_every_field_and_value_of_the_typings_is_classified(typings):
    fields = {name: of["fields"] for name, of in typings.types.items() if of["fields"]}
    problems = [
        *compare("types", fields, CLASSIFICATION.types, CLASSIFICATION.of_areas("types")),
        *compare("values", typings.enums, CLASSIFICATION.values, CLASSIFICATION.of_areas("types")),
    ]
    assert not problems, "\n".join(problems)


def compare(section, names, classified, of_areas):
    """The differences of a section; missing names in the form in which they can be added."""
    codes = CLASSIFICATION.of_areas("codes")
    for name in names.keys() | classified.keys():
        entry = classified.get(name, {})
        members = once(CLASSIFICATION.members(entry))
        if unknown := members - names.get(name, {}).keys():
            yield f"{section}.{name}: the typings have no {sorted(unknown)}"
        missing = [one for one in names.get(name, ()) if one not in members]
        if name == "ZIMErrorCode":
            missing = [one for one in missing if not is_in(one, codes)]
        if is_in(name, of_areas):
            if members:
                yield f"{section}.{name}: it is of an area, and classified by itself"
        elif missing:
            yield f"[{section}.{name}]\ndone = {json.dumps(missing)}"


def test_every_pattern_of_an_area_names_something(typings):
    names = {
        "types": typings.types.keys() | typings.enums.keys(),
        "codes": typings.enums["ZIMErrorCode"].keys(),
    }
    for kind, known in names.items():
        for pattern in CLASSIFICATION.of_areas(kind):
            assert any(is_in(name, [pattern]) for name in known), pattern


def test_the_methods_are_those_of_peerd(recorded):
    done = set(map(snake_case, CLASSIFICATION.methods["done"]))
    own = CLASSIFICATION.own["methods"].keys()
    assert not done & own
    assert Schemas().of.keys() == done | own
    assert recorded.methods() == done | own, "each method has an example in docs/protocol.md"


def test_the_events_are_those_of_peerd(recorded):
    done = set(map(snake_case, CLASSIFICATION.events["done"]))
    own = CLASSIFICATION.own["events"].keys()
    assert {name for _, name, _ in recorded.events} == done | own


def test_all_other_methods_are_answered_that_they_are_not_offered(recorded):
    section = PAGE.split("\n### Unsupported methods\n")[1].split("\n## ")[0]
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(\w+)`", table)) == not_offered()
    assert recorded.refused == dict.fromkeys(not_offered(), UNSUPPORTED)


def not_offered():
    """The methods that peerd answers with 6000013, also those that the typings do not have."""
    others = [*CLASSIFICATION.methods["client"], *CLASSIFICATION.of_areas("methods")]
    return {*map(snake_case, others), *CLASSIFICATION.own["later"]}


def test_what_is_offered_was_seen(typings, seen):
    """Fields of bodies that peerd sends, and values in calls or bodies."""
    missing = []
    for name in sorted(sent_types(typings)):
        entry = CLASSIFICATION.types[name]
        offered = [*entry.get("done", ()), *entry.get("default", ()), *entry.get("partly", ())]
        missing += [f"{name}.{field}" for field in offered if (name, field) not in seen.fields]
    for name, entry in CLASSIFICATION.values.items():
        if name != "ZIMErrorCode":
            offered = [*entry.get("done", ()), *entry.get("partly", ())]
            missing += [f"{name}.{one}" for one in offered if (name, one) not in seen.values]
    assert not missing, "no recorded body has:\n" + "\n".join(missing)


def test_the_codes_are_those_of_the_reference(typings):
    section = PAGE.split("\n## Errors\n")[1].split("\n## ")[0]
    codes = set(map(int, re.findall(r"^\| (\d+) \|", section, re.MULTILINE)))
    values = typings.enums["ZIMErrorCode"]
    assert codes == {values[name] for name in CLASSIFICATION.values["ZIMErrorCode"]["done"]}


def test_what_is_offered_of_a_call_is_in_its_schema(typings):
    schemas, problems = Schemas(), []
    sent = sent_types(typings)

    def check(schema, properties, name, path):
        for field, declaring, text, _ in typings.fields(name):
            status = CLASSIFICATION.status(CLASSIFICATION.types[declaring], field)
            is_there = field in properties
            # What peerd sends is no field of a call merely because a message may be one.
            if name not in sent and is_there != (status in ("done", "default", "partly")):
                problems.append(f"{path}.{field} is {status}, and {is_there=} in the schema")
            if is_there and field != "nextMessage" and (of := typings.name_in(text)) not in sent:
                if of in CLASSIFICATION.types:
                    deeper = schemas.properties(schema, *properties[field])
                    check(schema, deeper, of, f"{path}.{field}")

    for method in CLASSIFICATION.methods["done"]:
        schema = schemas.of[snake_case(method)]
        properties = schemas.properties(schema, schema)
        for parameter, declared in typings.methods[method]["parameters"].items():
            of, path = typings.name_in(declared["type"]), f"{method}.{parameter}"
            if of and method == "login":
                check(schema, properties, of, path)
            elif of in CLASSIFICATION.types and of not in sent:
                deeper = schemas.properties(schema, *properties.get(parameter, ()))
                check(schema, deeper, of, path)
            # The user is in the subject; a type without fields is no field.
            elif path != "login.userID" and (of is None or typings.fields(of)):
                if parameter not in properties:
                    problems.append(f"{path} is not in the schema")
    assert not problems, "\n".join(problems)


def sent_types(typings):
    """The classified types of replies and events."""
    results = [typings.methods[method]["result"] for method in CLASSIFICATION.methods["done"]]
    events = [typings.events[event] for event in CLASSIFICATION.events["done"]]
    return typings.reached([*results, *events, "ZIMError"])


def test_recorded_bodies_are_of_the_types_of_the_typings(typings, recorded):
    folder = PACKAGES / "recorded"
    files = TypeScript(typings, folder)
    sent = sent_types(typings)
    files.write("wire.ts", files.counterparts(sent, is_sent=True))
    files.write("complete.ts", ['import type * as wire from "./wire";', *files.completions(sent)])
    parameters = [
        declared["type"]
        for method in CLASSIFICATION.methods["done"]
        for declared in typings.methods[method]["parameters"].values()
    ]
    called = files.counterparts(typings.reached(parameters), is_sent=False)
    files.write("call.ts", called)
    files.write("recorded.ts", bodies(files, recorded))
    files.write("falsified.ts", falsified(recorded))
    assert files.compile() == ""


def bodies(files, recorded):
    """Each recorded body as a constant of the type that it must have."""
    yield 'import type * as wire from "./wire";'
    yield 'import type * as call from "./call";'
    typings, count = files.typings, 0
    methods, events = by_name(typings.methods), by_name(typings.events)

    def constant(text, body, what):
        nonlocal count
        count += 1
        return f"// {what}\nexport const body{count}: {text} = {literal(body)};"

    for method, request, _, _ in recorded.sdk_calls:
        if method == "login":
            continue  # Its user is in the subject, and its config is the body.
        yield constant(call_type(typings, methods[method]), request, f"call {method}")
    for method, _, reply, failure in recorded.sdk_calls + recorded.calls:
        if failure:
            yield constant("wire.ZIMError", failure, f"failure of {method}")
            continue
        result = methods.get(method, {}).get("result", "void")
        is_sent = result != "void" and files.is_sent(result)
        text = f"wire.{result}" if is_sent else own_type("replies", method)
        yield constant(text, reply, f"reply to {method}")
    for _, name, body in recorded.events:
        text = f"wire.{events[name]}" if name in events else own_type("bodies", name)
        text += f" & {interface(CLASSIFICATION.own['event'])}"
        yield constant(text, body, f"event {name}")


def falsified(recorded):
    """Bodies with one fault each. The compiler reports those in which it finds none."""
    yield 'import type * as wire from "./wire";'
    shown = next(body for method, _, body, _ in recorded.calls if method == "query_conversation")
    conversation = shown["conversation"]
    message = conversation["lastMessage"]
    wrong = {
        "another type": conversation | {"unreadMessageCount": "1"},
        "no value of the enumeration": conversation | {"notificationStatus": 3},
        "an unknown field": conversation | {"unread": 1},
        "a field of the client library": conversation | {"conversationAlias": "Bob"},
        "a required field is missing": {k: v for k, v in conversation.items() if k != "draft"},
        "inside a message": conversation | {"lastMessage": message | {"timestamp": "now"}},
        "content of another type": conversation | {"lastMessage": message | {"audioDuration": 1}},
    }
    for count, (what, body) in enumerate(wrong.items()):
        yield f"// @ts-expect-error {what}"
        yield f"export const wrong{count}: wire.ZIMConversation = {literal(body)};"


def own_type(section, name):
    """The type of a reply or an event for which the typings have none."""
    fields = CLASSIFICATION.own[section].get(name, {})
    return interface(fields) if fields else "Record<string, never>"


def call_type(typings, call):
    """The type of the body of a call: an object of the parameters of the SDK's method."""
    fields = {}
    for parameter, declared in call["parameters"].items():
        name = typings.name_in(declared["type"])
        mark = "?" if declared["optional"] else ""
        is_ours = name in CLASSIFICATION.types
        prefix = "call." if is_ours else "zim." if name or declared["type"] in typings.enums else ""
        fields[parameter + mark] = prefix + declared["type"]
    return interface(fields)


def test_the_page_is_as_generated():
    subprocess.run([ROOT / "docs" / "conformance"], check=True)
