"""A connection over TCP or TLS that can be ended in every way: TLS is between two buffers, so it can be cut anywhere."""

import asyncio
import socket
import ssl
import struct


class Line:
    def __init__(self, reader, writer, context=None, accepts=False):
        self.reader, self.writer = reader, writer
        self.tls = None
        self.notified = context is None  # whether the other side has announced its end
        if context:
            self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=accepts)

    async def handshake(self):
        while self.tls:
            try:
                self.tls.do_handshake()
                return await self.flush()
            except ssl.SSLWantReadError:
                await self.flush()
                records = await self.reader.read(65536)
                if not records:
                    raise ConnectionResetError("the end, in the middle of TLS's handshake")
                self.incoming.write(records)

    async def flush(self):
        self.writer.write(self.outgoing.read())
        await self.writer.drain()

    async def write(self, data):
        if self.tls:
            self.tls.write(data)
            await self.flush()
        else:
            self.writer.write(data)
            await self.writer.drain()

    async def read(self, size=65536):
        """At least one byte, or none at the end."""
        if not self.tls:
            return await self.reader.read(size)
        while True:
            try:
                data = self.tls.read(size)
                if data:
                    return data
                self.notified = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self.notified = True
            records = await self.reader.read(size)
            if not records:
                return b""
            self.incoming.write(records)

    def fin(self, announced):
        if self.tls and announced:
            try:
                self.tls.unwrap()
            except ssl.SSLError:  # it waits for the other side's
                pass
            self.writer.write(self.outgoing.read())
        self.writer.write_eof()

    def reset(self):
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self):
        self.writer.close()


async def connect(port, context):
    line = Line(*await asyncio.open_connection("127.0.0.1", port), context)
    await line.handshake()
    return line
