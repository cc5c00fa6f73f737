"""deploy/nats/mqtt.conf: a device with MQTT, which has no replies, is a user like any other."""

import asyncio
import json

import aiomqtt
import pytest
from client import DEADLINE_S, TEXT, Json, User
from conftest import PASSWORDS, POLL_S
from deployments import deployed, port_of
from refusals import PUBLISHES, SUBSCRIBES

# A device cannot publish to a topic with a wildcard.
TOPICS = [subject for subject in PUBLISHES if not set("*>") & set(subject)]
REFUSED = 128
ONLINE = 0


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    with deployed(tmp_path_factory.mktemp("mqtt"), "mqtt") as running:
        yield running


def device(deployment, user, password=None):
    return aiomqtt.Client(
        "127.0.0.1",
        port_of(deployment.server, "MQTT clients"),
        username=user,
        password=password or PASSWORDS[f"{user.upper()}_PASSWORD"],
        identifier=f"device-of-{user}",
        protocol=aiomqtt.ProtocolVersion.V311,
        timeout=DEADLINE_S,
    )


def topic(subject):
    return subject.replace(".", "/").replace("*", "+").replace(">", "#")


async def until(is_so):
    async with asyncio.timeout(DEADLINE_S):
        while not await is_so():
            await asyncio.sleep(POLL_S)


@pytest.mark.parametrize("subject", TOPICS)
async def test_a_device_may_not_publish(deployment, subject):
    """MQTT 3.1.1 cannot refuse a publish; the server drops it, and logs the violation."""

    async def is_logged():
        return f'Publish Violation - Subject "{subject}"' in deployment.server.logged()

    assert not await is_logged()
    async with device(deployment, "alice") as alice:
        await alice.publish(topic(subject), b"{}")
        await until(is_logged)


@pytest.mark.parametrize("subject", [s for s in SUBSCRIBES if "$MQTT" not in s])
async def test_a_device_may_not_subscribe(deployment, subject):
    async with device(deployment, "alice") as alice:
        for qos in (0, 1):
            [granted] = await alice.subscribe(topic(subject), qos)
            assert granted.value == REFUSED


async def test_a_device_needs_the_password(deployment):
    with pytest.raises(aiomqtt.MqttError):
        async with device(deployment, "alice", "wrong"):
            pass


async def test_a_device_chats(deployment):
    async with device(deployment, "bob") as bob, deployment.connect("alice") as nc:
        alice = User(nc, "alice", Json)
        await alice.listen()
        await alice.login()
        await bob.subscribe("peer/event/bob/+")
        await bob.publish("peer/api/bob/login", b"{}")

        async def is_online():
            # Nothing answers a device, but others see that it has logged in.
            reply = await alice.call("query_users_status", {"userIDs": ["bob"]})
            return any(status["onlineStatus"] == ONLINE for status in reply["userStatusList"])

        await until(is_online)
        body = {"message": {"type": TEXT, "message": "hello"}, "toUserID": "bob"}
        sent = (await alice.call("send_peer_message", body))["message"]
        message = await asyncio.wait_for(anext(bob.messages), DEADLINE_S)
        assert message.topic.value == "peer/event/bob/peer_message_received"
        [received] = json.loads(message.payload)["messageList"]
        assert received["messageID"] == sent["messageID"]

        body = {"message": {"type": TEXT, "message": "hello to you"}, "toUserID": "alice"}
        await bob.publish("peer/api/bob/send_peer_message", json.dumps(body))
        await alice.conversation_event("bob")
        [received] = (await alice.event("peer_message_received"))["messageList"]
        assert received["message"] == "hello to you"
