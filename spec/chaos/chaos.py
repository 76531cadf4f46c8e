"""Many short connections, cut, delayed and reset at random, against spec/chaos/server.lua (or another command).

    chaos.py [--seed N] [--connections 2000] [--at-a-time 40] [-- SERVER-COMMAND...]

Every connection that opened must end with one on_close, and the server must be afterwards what it was before: alive,
with the same descriptors and no more memory. The seed decides what each connection does.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import signal
import socket
import struct
import sys
import time

LIMIT = 64 * 1024      # the server's max_message
PATIENCE = 20          # seconds for one connection, and for the server to come to rest
GROWTH = 4096          # KiB by which the server's memory may grow after the first quarter of the connections
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999)
BAD_CODES = (0, 999, 1004, 1005, 1006, 1015, 2000, 5000, 65535)

HANDSHAKE = (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")


def frame(rng, opcode, payload=b"", fin=True, masked=True):
    size = len(payload)
    head = bytes([opcode | (0x80 if fin else 0)])
    mask = 0x80 if masked else 0
    if size < 126:
        head += bytes([mask | size])
    elif size < 65536:
        head += struct.pack("!BH", mask | 126, size)
    else:
        head += struct.pack("!BQ", mask | 127, size)
    if not masked:
        return head + payload
    key = rng.randbytes(4)
    pattern = int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return head + key + (int.from_bytes(payload, "big") ^ pattern).to_bytes(size, "big")


def close_frame(rng, codes=CODES):
    reason = rng.choice(("", "bye", "ünïcödé", "x" * 123)).encode()
    return frame(rng, 8, rng.choice((b"", struct.pack("!H", rng.choice(codes)) + reason[:123])))


def message(rng):
    """One message, whole or in fragments, some with a ping in between."""
    size = rng.choice((0, 1, 20, 125, 126, 1000, 5000, 30000))
    if rng.random() < 0.7:
        return frame(rng, rng.choice((1, 2)), b"m" * size)
    ping = frame(rng, 9, b"p" * rng.randrange(126)) if rng.random() < 0.5 else b""
    return frame(rng, 1, b"m" * size, fin=False) + ping + frame(rng, 0, b"m" * size)


def mistake(rng):
    return rng.choice((
        frame(rng, 1, b"unmasked", masked=False),
        frame(rng, rng.choice((3, 7, 11, 15)), b"unknown opcode"),
        frame(rng, 0x40 | 1, b"reserved bit"),
        frame(rng, 1, b"\xff\xfe not UTF-8"),
        frame(rng, 0, b"continues nothing"),
        frame(rng, 9, b"long ping" * 20),
        frame(rng, 2, b"x" * (LIMIT + 1)),
        close_frame(rng, BAD_CODES),
        rng.randbytes(rng.randrange(1, 200)),
    ))


def script(rng):
    """The bytes that one connection sends."""
    data = HANDSHAKE + b"".join(message(rng) for _ in range(rng.choice((0, 0, 1, 1, 2, 5))))
    end = rng.random()
    if end < 0.4:
        data += close_frame(rng)
    elif end < 0.6:
        data += mistake(rng)
    if rng.random() < 0.1:
        data += message(rng)
    if rng.random() < 0.3:
        data = data[:rng.randrange(len(data))]
    return data


async def send_in_pieces(writer, data, rng):
    start = 0
    while start < len(data) and not writer.is_closing():
        size = max(rng.choice((1, 7, 100, 1000, len(data))), len(data) // 50)
        writer.write(data[start:start + size])
        await writer.drain()
        start += size
        if rng.random() < 0.5:
            await asyncio.sleep(rng.random() * 0.02)


async def read_to_the_end(reader):
    """Whether what came was the answer to a handshake."""
    first = more = await reader.read(LIMIT)
    while more:
        more = await reader.read(LIMIT)
    return first.startswith(b"HTTP/1.1 101 ")


async def connection(port, rng):
    """Lives one short life; True if it saw that the server opened it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    end = rng.choice(("close", "reset", "fin", "read"))
    try:
        await send_in_pieces(writer, script(rng), rng)
        if end == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        if end == "fin":
            writer.write_eof()
            return await asyncio.wait_for(read_to_the_end(reader), PATIENCE)
        if end == "read":
            return await asyncio.wait_for(read_to_the_end(reader), rng.random() * 0.1)
    except asyncio.TimeoutError:
        if end == "fin":
            raise
    except OSError:  # the server was the first to end it
        pass
    finally:
        writer.close()
    return False


class Server:
    """The process, what it told, and what it holds."""

    async def start(self, command):
        self.process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        self.opened, self.closed, self.codes = collections.Counter(), collections.Counter(), collections.Counter()
        self.early = 0  # on_close before its open
        self.port = json.loads(await self.process.stdout.readline())["port"]
        self.reader = asyncio.create_task(self.listen())

    async def listen(self):
        async for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "open":
                self.opened[event["id"]] += 1
            elif event["event"] == "close":
                self.early += event["id"] not in self.opened
                self.closed[event["id"]] += 1
                self.codes[event["code"]] += 1

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def alive(self):
        return self.process.returncode is None

    async def comes_to_rest(self, descriptors):
        deadline = time.monotonic() + PATIENCE
        while self.alive() and time.monotonic() < deadline:
            if self.opened.total() == self.closed.total() and self.descriptors() == descriptors:
                return
            await asyncio.sleep(0.02)

    async def stop(self):
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), PATIENCE)
        except asyncio.TimeoutError:
            self.process.kill()
            return "none: killed"


async def play(server, seed, numbers, at_a_time):
    """Plays these connections; how many saw that they were opened, and what went wrong."""
    slots = asyncio.Semaphore(at_a_time)

    async def one(number):
        async with slots:
            try:
                return await connection(server.port, random.Random(f"{seed}/{number}"))
            except (OSError, asyncio.TimeoutError) as error:
                return f"connection {number}: {error!r}"

    results = await asyncio.gather(*map(one, numbers))
    return sum(result is True for result in results), [result for result in results if isinstance(result, str)]


async def run(options):
    print(f"seed {options.seed}: {options.connections} connections, {options.at_a_time} at a time", flush=True)
    server = Server()
    await server.start(options.command)
    before = server.descriptors()
    began = time.monotonic()
    quarter = options.connections // 4
    try:
        seen, errors = await play(server, options.seed, range(quarter), options.at_a_time)
        await server.comes_to_rest(before)
        memory = server.memory()
        more = await play(server, options.seed, range(quarter, options.connections), options.at_a_time)
        seen, errors = seen + more[0], errors + more[1]
        await server.comes_to_rest(before)
        growth, after, alive = server.memory() - memory, server.descriptors(), server.alive()
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        alive = False
    seconds = time.monotonic() - began
    status = await server.stop()
    await server.reader

    opens, closes = server.opened.total(), server.closed.total()
    checks = {
        "every connection got an answer to its FIN": not errors,
        f"opens ({opens}) equal closes ({closes})": opens == closes,
        "each id once, opened before closed":
            server.opened == server.closed and set(server.opened.values()) == {1} and not server.early,
        f"whoever saw the handshake ({seen}) was opened": 0 < seen <= opens,
        "the server lives": alive,
        f"descriptors: {before} before, {after} after": before == after,
        f"memory grew by {growth} KiB after the first quarter": growth <= GROWTH,
        f"SIGTERM ends it with status {status}": status == 0,
    }
    for error in (errors or [])[:10]:
        print(error)
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(server.codes.items()))
    print(f"{seconds:.1f} s; on_close was called with {codes}")
    for name, held in checks.items():
        print(f"{'ok' if held else 'not ok'} - {name}")
    failed = list(checks.values()).count(False)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return failed > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 6))
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--at-a-time", type=int, default=40)
    parser.add_argument("command", nargs="*", default=[os.environ.get("LUA", "lua5.4"), "spec/chaos/server.lua"])
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
