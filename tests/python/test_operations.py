"""Follows docs/operations.md: runs its commands in order, on one node and then on three, while
users chat. No test runs without those before it, as on a real deployment.

`PEERD_PREVIOUS` names the binary of an earlier release for the update and the way back.
"""

import json
import os
import shutil
import ssl
import subprocess
import time

import nats.errors
import pytest
from client import DEADLINE_S
from conftest import PASSWORDS, ROOT, connection, credentials
from load import Load
from machines import PAGE, STEPS, Disk, machines

PEERD = os.path.abspath(os.environ.get("PEERD", ROOT / "target" / "debug" / "peerd"))
PREVIOUS = os.path.abspath(os.environ.get("PEERD_PREVIOUS", PEERD))
SETTINGS = {
    "PEERD__PARTITIONS": "2",
    "PEERD__CLUSTER__MEMBER_TTL_MS": "6000",
}
TEXT = PAGE.read_text("utf-8")
TOML = TEXT.split("```toml\n")[1].split("```")[0]
ONE_NODE = TEXT.split("nats.conf` of a single node:\n\n```\n")[1].split("```")[0]
# How soon an outage must show, also on a busy machine; monitoring.rs demands ten seconds.
SHOWN_S = 20
# Calls that are repeated while instances and configurations change in order: nats-servers drop
# calls between nodes when an instance stops, and replies when they reload.
MOST_REPEATS = 20
NEW_PASSWORD = {"PEERD_2_PASSWORD": "peerd-2-secret"}


class Site:
    """The machines, and what the loads on them noted."""

    def __init__(self, made, folder):
        self.machines = made
        self.folder = folder
        self.notes = []
        self.authority = folder / "ca"
        self.new_authority = folder / "new-ca"

    def run(self, *arguments, **options):
        return self.machines.run(*arguments, **options)

    def each(self, step, **options):
        for machine in self.machines:
            self.run(step, machine.number, **options)

    def urls(self, numbers=(1, 2, 3)):
        return [f"tls://127.0.0.1:{self.machines.ports[n]['nats']}" for n in numbers]

    def trusting(self, *authorities):
        context = ssl.create_default_context(cafile=authorities[0] / "ca.crt")
        for further in authorities[1:]:
            context.load_verify_locations(further / "ca.crt")
        return {"tls": context}

    def connect(self, number=1, **options):
        options = self.trusting(self.authority) | credentials("operator") | options
        return connection(self.urls([number])[0], **options)

    def load(self, name, users=None, nodes=(1, 2, 3)):
        options = self.trusting(self.authority, self.new_authority) | credentials("operator")
        users = users or [f"{name}-{number}" for number in range(4)]
        return Load(users, self.folder / f"{name}.jsonl", self.urls(nodes), options)

    def verify(self, *loads, but="nobody"):
        """What the users of these loads saw agrees with what is stored, but for some users, whose
        latest messages a backup does not have."""
        environment = {
            "PEERD__NATS__SERVERS": self.urls([1])[0],
            "PEERD__NATS__TLS_CA_FILE": str(self.machines[1].root / "etc/peerd/ca.crt"),
            "PEERD__NATS__USER": "operator",
            "PEERD__NATS__PASSWORD": PASSWORDS["OPERATOR_PASSWORD"],
        }
        done = subprocess.run(
            [PEERD, "verify", "--json", *(load.notes for load in loads)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        faults = json.loads(done.stdout)["faults"]
        assert [fault for fault in faults if f"{but}-" not in fault["text"]] == []
        assert all(load.acknowledged > 0 for load in loads)

    def configure(self, number, toml):
        self.machines[number].write("etc/peerd/peerd.toml", toml)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("operations")
    with machines(folder / "machines", SETTINGS) as made:
        yield prepared(Site(made, folder))


@pytest.fixture
def site_on_small_disk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    with machines(folder / "machines", SETTINGS) as made:
        made[1].disk = Disk(made[1].root / "var/lib/nats", "32m")
        yield prepared(Site(made, folder))


def prepared(site):
    """The machines as the page describes them, with one node."""
    for authority in (site.authority, site.new_authority):
        subprocess.run([ROOT / "deploy" / "nats" / "test-ca", authority], check=True)
    users = (ROOT / "deploy" / "nats" / "users.conf").read_text()
    users = users.replace('# { include "admin.conf" }', '{ include "admin.conf" }')
    for machine in site.machines:
        machine.write("etc/nats/users.conf", users)
        shutil.copy(site.authority / "ca.crt", machine.root / "etc/peerd")
        for name in ("server.crt", "server.key"):
            shutil.copy(site.authority / name, machine.root / "etc/nats")
        shutil.copy(PEERD, machine.root / "usr/local/bin/peerd")
        shutil.copytree(site.new_authority, machine.root / "run/new")
        site.configure(machine.number, toml_of("replicas = 3"))
    site.machines[1].write("etc/nats/nats.conf", ONE_NODE)
    one = toml_of("replicas = 1").replace(', "tls://nats-2:4222", "tls://nats-3:4222"', "")
    site.configure(1, one)
    site.machines[1].start("nats-server")
    site.machines[1].start("peerd")
    return site


def toml_of(replicas):
    toml = TOML.replace("…", PASSWORDS["PEERD_PASSWORD"])
    assert "replicas = 3" in toml and 'tls://nats-3:4222"' in toml
    return toml.replace("replicas = 3", replicas)


async def test_one_node_is_backed_up_and_restored(site):
    site.run("status")
    early, late = (site.load(name, nodes=[1]) for name in ("early", "late"))
    async with early.running():
        await early.until_acknowledged(20)
    async with late.running():
        await late.until_acknowledged(10)
        await site.machines.follow("backup")
        await late.until_acknowledged(10)
    site.run("stop-peerd")
    site.run("empty-store")
    site.run("remove-streams")
    site.run("restore-one")
    site.run("audit")
    # Messages that were sent while the backup was made, and later, may be missing.
    site.verify(early, but="late")
    await goes_on(site, late)
    site.loads = [early]


async def goes_on(site, load):
    """Users who were restored chat on; numbers and counts are right."""
    again = site.load("again", load.users, nodes=[1])
    async with again.running():
        await again.until_acknowledged(10)
    site.run("audit")


async def test_one_node_becomes_three(site):
    site.run("stop-peerd")
    site.run("backup")
    site.run("put-store-aside")
    site.each("join-cluster")
    site.run("remove-streams")
    site.run("restore-three")
    site.configure(1, toml_of("replicas = 3"))
    site.each("start-peerd")
    site.run("audit")
    site.verify(*site.loads, but="late")
    assert not (await missing_copies(site))


async def missing_copies(site):
    """The streams that do not have three copies."""
    async with site.connect(**credentials("admin"), inbox_prefix="_INBOX") as nc:
        names = json.loads((await nc.request("$JS.API.STREAM.NAMES")).data)["streams"]
        infos = [await nc.request(f"$JS.API.STREAM.INFO.{name}") for name in names]
        configs = [json.loads(info.data)["config"] for info in infos]
    return [config["name"] for config in configs if config["num_replicas"] != 3]


async def test_an_update_and_the_way_back_lose_nothing(site):
    load = site.load("updated")
    async with load.running():
        for binary in (PREVIOUS, PEERD):
            for machine in site.machines:
                shutil.copy(binary, machine.root / "run/peerd")
                await site.machines.follow("update-peerd", machine.number)
        await load.until_acknowledged(10)
    assert load.repeats <= MOST_REPEATS
    site.loads.append(load)
    site.verify(*site.loads, but="late")


async def test_nats_servers_are_restarted_one_by_one(site):
    load = site.load("restarted")
    async with load.running():
        with load.disturbed():
            for machine in site.machines:
                await site.machines.follow("restart-nats", machine.number)
            await load.until_acknowledged(10)
    # The replicas of a restored stream disagree about when it was created.
    for machine in site.machines:
        assert "one of its streams was lost" not in machine.log("peerd")
    site.loads.append(load)
    site.verify(*site.loads, but="late")


async def test_the_password_is_renewed_without_an_outage(site):
    load = site.load("renewed")
    async with load.running():
        for step in ("add-user", "use-user", "retire-user"):
            for machine in site.machines:
                await site.machines.follow(step, machine.number, **NEW_PASSWORD)
        await load.until_acknowledged(10)
    assert load.repeats <= MOST_REPEATS
    site.loads.append(load)
    site.verify(*site.loads, but="late")
    with pytest.raises(nats.errors.Error, match="Authorization"):
        async with site.connect(**credentials("peerd")):
            pass


async def test_certificates_are_renewed_without_an_outage(site):
    load = site.load("certified")
    async with load.running():
        for step in ("trust-both", "renew-certificate", "trust-new"):
            for machine in site.machines:
                await site.machines.follow(step, machine.number)
        await load.until_acknowledged(10)
    assert load.repeats <= MOST_REPEATS
    site.authority = site.new_authority
    for number in (1, 2, 3):
        async with site.connect(number):
            pass
    site.loads.append(load)
    site.verify(*site.loads, but="late")


async def test_a_node_that_lost_its_disk_is_replaced(site):
    load = site.load("replaced")
    async with load.running():
        with load.disturbed():
            site.machines[3].kill("nats-server")
            await site.machines.follow("node-lost")
            await load.until_acknowledged(10)
            await site.machines.follow("replace-node", 3)
            await load.until_acknowledged(10)
    site.loads.append(load)
    site.verify(*site.loads, but="late")


async def test_a_lost_quorum_stops_calls_and_loses_nothing(site):
    load = site.load("outage")
    async with load.running():
        with load.disturbed():
            for number in (2, 3):
                site.machines[number].kill("nats-server")
            await shown_soon(site, "quorum-lost")
            site.machines[2].start("nats-server")
            await site.machines.follow("quorum-back")
            site.machines[3].start("nats-server")
            await load.until_acknowledged(10)
    site.loads.append(load)
    site.run("audit")
    site.verify(*site.loads, but="late")


async def test_three_nodes_are_restored(site):
    site.run("backup")
    site.each("stop-peerd")
    for machine in site.machines:
        machine.stop("nats-server")
    site.each("empty-store")
    site.run("remove-streams")
    site.run("restore-three")
    site.each("start-peerd")
    site.run("audit")
    site.verify(*site.loads, but="late")
    await goes_on(site, site.load("last"))


async def test_a_full_disk_shows_and_there_is_room_again(site, site_on_small_disk):
    small = site_on_small_disk
    disk = small.machines[1].disk
    load = small.load("full", nodes=[1])
    async with load.running():
        await load.until_acknowledged(10)
        with load.disturbed():
            disk.fill()
            await shown_soon(small, "disk-full")
            disk.make_room()
            await small.machines.follow("disk-freed")
            await load.until_acknowledged(10)
    small.run("audit")
    small.verify(load)
    site.machines.ran |= small.machines.ran


async def shown_soon(site, step):
    began = time.monotonic()
    await site.machines.follow(step)
    assert time.monotonic() - began < SHOWN_S


def test_every_step_of_the_page_was_run(site):
    assert site.machines.ran | {"environment"} == set(STEPS)
