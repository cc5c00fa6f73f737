"""The documents of the contract for machines, by the official parser and by bodies that are wrong.

The other tests compare all that they send and receive with the schemas (client.py).
"""

import json
import subprocess

import pytest
import schemas
from conformance import PACKAGES
from schemas import ROOT

ASYNCAPI = ROOT / "docs" / "asyncapi.json"


def test_the_official_parser_has_nothing_to_say_about_the_document():
    script = ROOT / "tests" / "typescript" / "asyncapi.mjs"
    done = subprocess.run(
        ["node", script, ASYNCAPI], cwd=PACKAGES, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    document = json.loads(ASYNCAPI.read_text("utf-8"))
    methods = {name for name, one in document["operations"].items() if "reply" in one}
    assert set(seen["calls"]) == methods and len(methods) >= 54
    events = {name for name in document["channels"] if name.startswith("event_")}
    assert set(seen["sent"]) == events | {"push"}


def test_a_body_that_is_wrong_is_noticed():
    heartbeat = {"serverTime": 1}
    schemas.check_reply("heartbeat", heartbeat)
    for wrong in ({}, {"serverTime": "1"}, {"serverTime": -1}, heartbeat | {"further": 1}):
        with pytest.raises(AssertionError):
            schemas.check_reply("heartbeat", wrong)
    schemas.check_request("heartbeat", {"further": 1})
    revisions = {"revision": 2, "previousRevision": 1}
    typing = {"fromUserID": "alice", "isTyping": True}
    schemas.check_event("typing", typing | revisions)
    schemas.check_event("typing", {"isContentOmitted": True} | revisions)
    schemas.check_event("bundle", {"events": [{"event": "typing", "body": typing}]} | revisions)
    for wrong in (typing, revisions, {"isContentOmitted": False} | revisions):
        with pytest.raises(AssertionError):
            schemas.check_event("typing", wrong)
    with pytest.raises(AssertionError):
        schemas.check_event("bundle", {"events": [{"event": "other", "body": typing}]} | revisions)
