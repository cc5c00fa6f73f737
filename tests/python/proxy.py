"""A TCP proxy before a nats-server, which cuts connections and loses events and replies."""

import asyncio
import contextlib


class Proxy:
    def __init__(self, port):
        self.target = port
        self.writers = set()
        self.is_blocked = False
        self.is_silent = False
        self.is_lost = lambda subject: False

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, port):
        proxy = cls(port)
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        host, own_port = server.sockets[0].getsockname()
        proxy.url = f"nats://{host}:{own_port}"
        try:
            yield proxy
        finally:
            server.close()
            await proxy.cut()

    async def cut(self):
        """Ends all connections at once."""
        for writer in self.writers:
            writer.transport.abort()

    async def serve(self, reader, writer):
        if self.is_blocked:
            writer.transport.abort()
            return
        try:
            upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, to_upstream}
        self.writers |= both
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.pass_on(reader, to_upstream))
                group.create_task(self.pass_frames(upstream, writer))
        except* OSError:
            pass  # the other side is cut, too
        finally:
            self.writers -= both
            for one in both:
                one.transport.abort()

    async def pass_frames(self, reader, writer):
        """What the server sends, without the messages that are lost."""
        while line := await reader.readline():
            words = line.split()
            frame = line
            if words and words[0] in (b"MSG", b"HMSG"):
                frame += await reader.readexactly(int(words[-1]) + 2)
                if self.is_lost(words[1].decode()):
                    continue
            if not self.is_silent:
                writer.write(frame)
                await writer.drain()
        raise ConnectionResetError

    async def pass_on(self, reader, writer):
        while data := await reader.read(65_536):
            if not self.is_silent:
                writer.write(data)
                await writer.drain()
        raise ConnectionResetError
