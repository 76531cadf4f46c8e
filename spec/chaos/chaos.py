"""Many short connections, cut, delayed and reset at random: against a server of ours, and by a client of ours, each in
the clear and over TLS.

    chaos.py [--seed N] [--connections 2000] [--at-a-time 40] [--lua COMMAND] [PART...]

Every connection that opened must end with one on_close that tells the truth, and the process under test must be
afterwards what it was before: alive, with the same descriptors and no more memory. The seed decides what each
connection does. Parts: server, server-tls, client, client-tls; the first has --connections, the others half of it.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import re
import shlex
import signal
import ssl
import subprocess
import sys
import tempfile
import time

import line
import script

PATIENCE = 20          # seconds for one connection, and for a process to come to rest
GROWTH = 8192          # KiB by which its memory may grow after the first quarter of the connections: allocators warm up
HERE = os.path.dirname(__file__)


# ---- one connection

async def send_in_pieces(peer, data, rng):
    start = 0
    while start < len(data) and not peer.writer.is_closing():
        size = max(rng.choice((1, 7, 100, 1000, len(data))), len(data) // 50)
        await peer.write(data[start:start + size])
        start += size
        if rng.random() < 0.5:
            await asyncio.sleep(rng.random() * 0.02)


async def read_to_the_end(peer):
    """The first bytes that came."""
    first = more = await peer.read()
    while more:
        more = await peer.read()
    return first


class Life:
    """What became of a connection. truth: what must be told of it; None where that cannot be known."""

    def __init__(self):
        self.first, self.truth, self.announced = b"", None, True

    async def live(self, peer, text, rng):
        data = text.bytes()
        end = rng.choice(("close", "reset", "fin", "cut", "read"))
        try:
            await send_in_pieces(peer, data, rng)
            if end == "reset":
                peer.reset()
            elif end in ("fin", "cut"):
                peer.fin(announced=end == "fin")
                self.first = await asyncio.wait_for(read_to_the_end(peer), PATIENCE)
                self.truth, self.announced = text.truth, peer.notified
            elif end == "read":
                self.first = await asyncio.wait_for(read_to_the_end(peer), rng.random() * 0.1)
        except asyncio.TimeoutError:
            if end != "read":
                raise
        except OSError:  # the other side was the first to end it
            pass
        finally:
            peer.close()


# ---- the process under test

class Process:
    """What it told, and what it holds. Events name connections by an id of its own and by our number."""

    async def start(self, command):
        self.process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        self.opened, self.closed, self.codes = collections.Counter(), collections.Counter(), collections.Counter()
        self.failed = set()  # numbers
        self.told = {}       # number -> code
        self.numbers = {}    # id -> number
        self.early = 0       # on_close before its open
        self.ready = json.loads(await self.process.stdout.readline())
        self.reader = asyncio.create_task(self.listen())

    async def listen(self):
        async for text in self.process.stdout:
            event = json.loads(text)
            if event["event"] == "open":
                self.opened[event["id"]] += 1
                self.numbers[event["id"]] = event["number"]
            elif event["event"] == "close":
                self.early += event["id"] not in self.opened
                self.closed[event["id"]] += 1
                self.codes[event["code"]] += 1
                self.told[self.numbers.get(event["id"])] = event["code"]
            elif event["event"] == "failed":
                self.failed.add(event["number"])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(text.split()[1]) for text in status if text.startswith("VmRSS:"))

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
            self.process.stdin.close()
        try:
            return await asyncio.wait_for(self.process.wait(), PATIENCE)
        except asyncio.TimeoutError:
            self.process.kill()
            return "none: killed"


class ServerPart:
    """The process is a server; we connect."""

    def __init__(self, options, name, certificate):
        self.options, self.name, self.certificate = options, name, certificate
        self.process, self.lives, self.errors = Process(), {}, []
        self.context = None
        if certificate:
            self.context = ssl.create_default_context(cafile=certificate)
            self.context.check_hostname = False

    async def start(self):
        own = (self.certificate, self.certificate) if self.certificate else ()
        await self.process.start((*self.options.lua, f"{HERE}/server.lua", *own))

    async def play(self, numbers):
        slots = asyncio.Semaphore(self.options.at_a_time)

        async def one(number):
            rng = random.Random(f"{self.options.seed}/{self.name}/{number}")
            life = self.lives[number] = Life()
            async with slots:
                try:
                    peer = await line.connect(self.process.ready["port"], self.context)
                    await life.live(peer, script.of_a_client(rng, number), rng)
                except (OSError, asyncio.TimeoutError) as error:
                    self.errors.append(f"connection {number}: {error!r}")

        await asyncio.gather(*map(one, numbers))

    async def stop(self):
        return await self.process.stop()


class ClientPart:
    """The process is a client; it connects to us."""

    def __init__(self, options, name, certificate):
        self.options, self.name, self.certificate = options, name, certificate
        self.process, self.lives, self.errors = Process(), {}, []
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)

    async def accept(self, reader, writer):
        try:
            peer = line.Line(reader, writer, self.context, accepts=True)
            await peer.handshake()
            head = b""
            while b"\r\n\r\n" not in head:
                head += await peer.read()
            number = int(re.match(rb"GET /(\d+) ", head).group(1))
            key = re.search(rb"\r\nSec-WebSocket-Key: (\S+)\r\n", head).group(1)
            rng = random.Random(f"{self.options.seed}/{self.name}/{number}")
            life = self.lives[number] = Life()
            await life.live(peer, script.of_a_server(rng, key), rng)
        except (OSError, asyncio.TimeoutError) as error:
            self.errors.append(repr(error))

    async def start(self):
        self.server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        url = f"{'wss' if self.certificate else 'ws'}://127.0.0.1:{port}"
        ca = (self.certificate,) if self.certificate else ()
        await self.process.start(
            (*self.options.lua, f"{HERE}/client.lua", url, str(self.options.at_a_time), *ca))

    async def play(self, numbers):
        self.process.process.stdin.write(f"{numbers[0]} {numbers[-1]}\n".encode())
        deadline = time.monotonic() + PATIENCE
        accounted = 0
        while self.process.alive() and accounted <= numbers[-1] and time.monotonic() < deadline:
            known = len(self.process.failed) + len(self.process.told)
            if known > accounted:
                accounted, deadline = known, time.monotonic() + PATIENCE
            await asyncio.sleep(0.02)

    async def stop(self):
        status = await self.process.stop()
        self.server.close()
        return status


# ---- what must hold

def lies(part):
    """Numbers of whom something else was told than what is known."""
    process, opened = part.process, set(part.process.numbers.values())
    for number, life in part.lives.items():
        told = process.told.get(number) if number in opened else script.UNOPENED
        if life.truth is not None and told != life.truth:
            yield f"connection {number}: {told} was told instead of {life.truth}"
        elif life.first.startswith(b"HTTP/1.1 101 ") and number not in opened:
            yield f"connection {number}: it saw its handshake answered, and was not opened"
        elif not life.announced:
            yield f"connection {number}: it ended without close_notify"


async def run(part, connections):
    await part.start()
    process = part.process
    before = process.descriptors()
    began = time.monotonic()
    quarter = connections // 4
    growth = after = 0
    try:
        await part.play(range(quarter))
        await process.comes_to_rest(before)
        memory = process.memory()
        await part.play(range(quarter, connections))
        await process.comes_to_rest(before)
        growth, after, alive = process.memory() - memory, process.descriptors(), process.alive()
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        alive = False
    seconds = time.monotonic() - began
    status = await part.stop()
    await process.reader

    opens, closes = process.opened.total(), process.closed.total()
    known = sum(life.truth is not None for life in part.lives.values())
    wrong = list(lies(part))
    checks = {
        "every connection got an answer to its FIN": not part.errors,
        f"opens ({opens}) equal closes ({closes})": opens == closes > 0,
        "each id once, opened before closed":
            process.opened == process.closed and set(process.opened.values()) == {1} and not process.early,
        f"all {connections} were played": len(part.lives) == connections,
        f"the truth was told where it is known ({known})": known > 0 and not wrong,
        "the process lives": alive,
        f"descriptors: {before} before, {after} after": before == after,
        f"memory grew by {growth} KiB after the first quarter": growth <= GROWTH,
        f"it ends with status {status}": status == 0,
    }
    if isinstance(part, ClientPart):
        failed = len(process.failed)
        checks[f"each connect failed ({failed}) or opened ({opens})"] = failed + opens == connections
    for error in (part.errors + wrong)[:10]:
        print(error)
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(process.codes.items()))
    print(f"{part.name}: {seconds:.1f} s; on_close was called with {codes}")
    for name, held in checks.items():
        print(f"{'ok' if held else 'not ok'} - {part.name}: {name}", flush=True)
    return list(checks.values())


def make_certificate(path):
    """One file for certificate and key; it is its own authority."""
    command = ("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=chaos"
               f" -addext subjectAltName=IP:127.0.0.1 -keyout {path} -out {path}.pem")
    subprocess.run(command.split(), check=True, stderr=subprocess.DEVNULL)
    with open(path, "a") as file, open(f"{path}.pem") as certificate:
        file.write(certificate.read())
    return path


async def run_all(options):
    print(f"seed {options.seed}: {options.connections} connections, {options.at_a_time} at a time", flush=True)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(f"{folder}/chaos")
        for name in options.parts:
            kind = ServerPart if name.startswith("server") else ClientPart
            part = kind(options, name, certificate if name.endswith("-tls") else None)
            results += await run(part, options.connections // (1 if name == "server" else 2))
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return False in results


def main():
    parts = ("server", "server-tls", "client", "client-tls")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 6))
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--at-a-time", type=int, default=40)
    parser.add_argument("--lua", type=shlex.split, default=[os.environ.get("LUA", "lua5.4")])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    options = parser.parse_args()
    options.parts = options.parts or parts
    return asyncio.run(run_all(options))


if __name__ == "__main__":
    sys.exit(main())
