"""A service that sends and answers. Each line of the input is a userID and a text: `bob Hello!`

It keeps the `orderKey` of the newest message that it answered, so that after a restart it answers
what came in between. An answer names the message, so that peerd recognizes a repeated one.
"""

import asyncio
import contextlib
import os
from pathlib import Path

from chat import lines

from peerd import Client, PeerdError

STATE = Path(os.environ.get("STATE", "service.state"))


async def main(newest: int) -> None:
    servers = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
    async with Client("shop", servers, device_id="service", replay_after=newest) as client:
        await asyncio.gather(send_lines(client), answer(client, newest))


async def send_lines(client: Client) -> None:
    async for line in lines():
        user, _, text = line.partition(" ")
        try:
            # It waits for a lost connection, and for the rate of this sender.
            sent = await client.send(user, text)
            print(f"{user}: sent as {sent['messageID']}", flush=True)
        except PeerdError as error:
            print(f"{user}: not sent, {error}", flush=True)


async def answer(client: Client, newest: int) -> None:
    async for event in client:
        if event.name != "peer_message_received":
            continue
        for message in event.body["messageList"]:
            await client.send_peer_message(
                toUserID=message["senderUserID"],
                message={
                    "type": 1,
                    "message": "Thank you, we call you back.",
                    "localMessageID": f"answer-{message['messageID']}",
                },
            )
            newest = max(newest, message["orderKey"])
            STATE.write_text(str(newest))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(STATE.read_text()) if STATE.exists() else 0))
