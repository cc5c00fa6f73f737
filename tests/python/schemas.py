"""The JSON Schemas of the contract: what a client sends and receives must be valid by them.

Clients ignore fields that they do not know, and so do the schemas. Here, a field that peerd sends
and no schema names is an error.
"""

import base64
import copy
import functools
import json
from pathlib import Path

from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = json.loads((ROOT / "docs" / "schemas.json").read_text("utf-8"))["$defs"]
FAILURE = "failure"


def check(name, body):
    """Fails unless the body is valid by this schema of docs/schemas.json."""
    errors = [
        f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(plain(body))
    ]
    assert not errors, f"not valid as {name}: {errors}\n{body}"


def check_request(method, body):
    check(f"request.{method}", body)


def check_reply(method, body):
    check(f"reply.{method}", body)


def check_event(name, body):
    check(f"event.{name}", body)


@functools.cache
def validator(name):
    definitions = DEFINITIONS
    if not name.startswith("request."):
        definitions = {key: closed(schema) for key, schema in DEFINITIONS.items()}
    schema = {"$ref": f"#/$defs/{name}", "$defs": definitions}
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def closed(schema):
    """The schema, without room for fields that it does not name."""
    schema = copy.deepcopy(schema)
    parts = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            parts += part.values()
            if isinstance(part.get("properties"), dict):
                part["additionalProperties"] = False
        elif isinstance(part, list):
            parts += part
    return schema


def plain(body):
    """A body as it is in JSON, where bytes are base64 text."""
    if isinstance(body, bytes):
        return base64.b64encode(body).decode()
    if isinstance(body, dict):
        return {name: plain(value) for name, value in body.items()}
    if isinstance(body, list | tuple):
        return [plain(value) for value in body]
    return body
