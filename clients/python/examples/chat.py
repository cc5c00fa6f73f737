"""A chat in the terminal. `python chat.py alice bob` writes each line as alice to bob."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from peerd import Client, Message


async def main(me: str, peer: str) -> None:
    servers = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
    password = os.environ.get("PASSWORD")
    async with Client(me, servers, user_name=me.title(), password=password) as client:
        page = await client.query_history_message(
            conversationID=peer, config={"count": 20, "reverse": True}
        )
        for message in page["messageList"]:
            show(message)
        # What arrived since the login is in the history, and among the events.
        known = {message["messageID"] for message in page["messageList"]}
        showing = asyncio.create_task(show_new(client, peer, known))
        async for line in lines():
            await client.send(peer, line)
        showing.cancel()


async def show_new(client: Client, peer: str, known: set[str]) -> None:
    async for event in client:
        if event.name == "peer_message_received" and event.body["fromConversationID"] == peer:
            for message in event.body["messageList"]:
                if message["messageID"] not in known:
                    show(message)
            await client.clear_conversation_unread_message_count(conversationID=peer)
        elif event.name == "typing" and event.body["fromUserID"] == peer:
            print(f"({peer} is typing)" if event.body["isTyping"] else "")


def show(message: Message) -> None:
    print(f"{message['senderUserID']}: {message.get('message', '(not a text)')!s}", flush=True)


async def lines() -> AsyncIterator[str]:
    """The lines of the standard input, without the empty ones."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        if text := line.decode().strip():
            yield text


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
