"""Service discovery: peerd answers $SRV as NATS's service convention (ADR-32) has it."""

import asyncio
import json
import re
from datetime import datetime

import pytest
from client import DEADLINE_S, Rejected
from conftest import POLL_S

SEMANTIC_VERSION = re.compile(r"\d+\.\d+\.\d+([-+].+)?")


async def ask(nc, subject):
    return json.loads((await nc.request(subject, timeout=DEADLINE_S)).data)


def check_identity(answer, kind):
    assert answer["type"] == f"io.nats.micro.v1.{kind}_response"
    assert answer["name"] == "peerd"
    assert answer["id"]
    assert SEMANTIC_VERSION.fullmatch(answer["version"])
    assert all(isinstance(value, str) for value in (answer.get("metadata") or {}).values())


@pytest.mark.raw
async def test_ping_info_and_stats_answer_to_all_to_the_name_and_to_the_instance(daemon):
    async with daemon.users("alice") as (alice,):
        instance = (await ask(alice.nc, "$SRV.PING"))["id"]
        for verb in ("PING", "INFO", "STATS"):
            for suffix in ("", ".peerd", f".peerd.{instance}"):
                answer = await ask(alice.nc, f"$SRV.{verb}{suffix}")
                check_identity(answer, verb.lower())
                assert answer["id"] == instance


@pytest.mark.raw
async def test_info_names_the_endpoints_and_their_queue_group(daemon):
    async with daemon.users("alice") as (alice,):
        info = await ask(alice.nc, "$SRV.INFO.peerd")
        assert isinstance(info["description"], str)
        assert info["endpoints"]
        for endpoint in info["endpoints"]:
            assert endpoint["name"]
            assert endpoint["subject"].startswith("peer.api.")
            assert endpoint["queue_group"] == "peerd"


@pytest.mark.raw
async def test_stats_count_requests_and_errors(daemon):
    async with daemon.users("alice") as (alice,):
        requests, errors = counts(await ask(alice.nc, "$SRV.STATS.peerd"))
        await alice.call("heartbeat")
        with pytest.raises(Rejected):
            await alice.call("do_what_i_mean")
        # A call is counted when it ends, which may be just after its reply is seen.
        async with asyncio.timeout(DEADLINE_S):
            while True:
                stats = await ask(alice.nc, "$SRV.STATS.peerd")
                requests_now, errors_now = counts(stats)
                if requests_now >= requests + 2 and errors_now >= errors + 1:
                    break
                await asyncio.sleep(POLL_S)

        datetime.fromisoformat(stats["started"])
        for endpoint in stats["endpoints"]:
            assert endpoint["queue_group"] == "peerd"
            assert isinstance(endpoint["last_error"], str)
            assert endpoint["processing_time"] >= endpoint["average_processing_time"] >= 0


def counts(stats):
    """Requests and errors, summed over all endpoints."""
    endpoints = stats["endpoints"]
    return sum(e["num_requests"] for e in endpoints), sum(e["num_errors"] for e in endpoints)
