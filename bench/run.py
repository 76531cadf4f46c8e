"""What an echo, a delivery to a subscriber and an idle connection cost a server: CPU time, system calls, memory.

    run.py [--quick] [--json] LOAD SERVER-COMMAND...     the server prints its port first

Only the server's own time counts, as the kernel measured it; it has one core and the load another. Linux.
"""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import zlib

SIZES = (20, 1024, 16 * 1024, 64 * 1024)
CONNECTIONS = 50
IDLE = 10_000
COMPRESSED = 200  # idle ones: enough, where each takes a third of a MiB
SUBSCRIBERS = 1000
PUBLISHED = 100  # bytes of a message to them
CORES = sorted(os.sched_getaffinity(0))


def start(command, core, **pipes):
    def prepare():
        os.sched_setaffinity(0, {core})
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return subprocess.Popen(command, text=True, preexec_fn=prepare, **pipes)


class Server:
    def __init__(self, command):
        self.process = start(command, CORES[0], stdout=subprocess.PIPE)
        self.port = self.process.stdout.readline().strip()
        if not self.port:
            sys.exit("the server did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def read(self, name):
        with open(f"/proc/{self.process.pid}/{name}") as file:
            return file.read()

    def cpu(self):
        """Nanoseconds on a core so far."""
        return int(self.read("schedstat").split()[0])

    def memory(self):
        """Resident bytes."""
        return int(re.search(r"^Rss:\s+(\d+) kB", self.read("smaps_rollup"), re.M)[1]) * 1024


class Load:
    """Connections that are open for a with block; run(ms) returns echoes and the nanoseconds they took."""

    def __init__(self, program, server, connections, size):
        command = [program, server.port, str(connections), str(size)]
        self.process = start(command, CORES[-1], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != "ready\n":
            sys.exit("the load could not connect")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def run(self, milliseconds):
        self.process.stdin.write(f"{milliseconds}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            sys.exit("the load broke off")
        return map(int, answer)


def measure_cpu(server, load, milliseconds):
    load.run(milliseconds // 4)  # warm
    before = server.cpu()
    messages, elapsed = load.run(milliseconds)
    cpu = server.cpu() - before
    return {"cpu_us": cpu / messages / 1e3, "per_second": round(messages * 1e9 / elapsed)}


def count_calls(server, load, milliseconds):
    """System calls per message; None where strace is missing or may not attach."""
    if not shutil.which("strace"):
        return None
    with tempfile.NamedTemporaryFile("r") as table:
        strace = subprocess.Popen(["strace", "-c", "-f", "-o", table.name, "-p", str(server.process.pid)],
                                  stderr=subprocess.PIPE, text=True)
        if "attached" not in strace.stderr.readline():
            strace.kill()
            return None
        messages, _ = load.run(milliseconds)
        strace.send_signal(signal.SIGINT)
        strace.communicate()
        total = re.search(r"^100\.00 +\S+ +\S+ +(\d+)", table.read(), re.M)
    return int(total[1]) / messages


def measure_idle(options):
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100
    connections = min(IDLE, room)
    with Server(options.server) as server:
        with Load(options.load, server, 100, 20) as load:  # what the server takes once, whoever comes
            load.run(0)
        before = server.memory()
        with Load(options.load, server, connections, 20) as load:
            load.run(0)
            return {"connections": connections, "bytes": (server.memory() - before) / connections}


def upgrade(port, lines=b""):
    """A WebSocket connection: socket, its stream, the head of the server's answer. lines: more of the request's."""
    connection = socket.create_connection(("127.0.0.1", port))
    stream = connection.makefile("rb")
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" + lines + b"\r\n")
    return connection, stream, b"".join(iter(stream.readline, b"\r\n"))


def measure_delivery(options, in_flight, rounds):
    """A round: so many messages at once to all subscribers, who get them before the next. CPU us per delivery."""
    payload = b"m" * PUBLISHED
    request = b"\x82" + bytes([0x80 | PUBLISHED]) + b"\0\0\0\0" + payload
    answer = (b"\x82" + bytes([PUBLISHED]) + payload) * in_flight
    with Server(options.server + ["publish"]) as server:
        subscribers = [upgrade(server.port)[0] for _ in range(SUBSCRIBERS)]
        for i in range(rounds):
            if i == rounds // 4:  # warm
                before = server.cpu()
            subscribers[0].sendall(request * in_flight)
            for subscriber in subscribers:
                if subscriber.recv(len(answer), socket.MSG_WAITALL) != answer:
                    sys.exit("a subscriber did not get what was published")
        deliveries = (rounds - rounds // 4) * in_flight * SUBSCRIBERS
        return (server.cpu() - before) / deliveries / 1e3


class Compressed:
    """A connection that has agreed on compression; how: "shared", which takes nothing over, or "takeover"."""

    def __init__(self, port, how):
        self.takes_over = how == "takeover"
        self.socket, self.stream, head = upgrade(port, b"Sec-WebSocket-Extensions: permessage-deflate\r\n")
        if b"permessage-deflate" not in head:
            sys.exit("the server does not compress")
        self.begin()

    def begin(self):
        self.compressor, self.inflater = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)

    def send(self, message):
        if not self.takes_over:
            self.begin()
        payload = (self.compressor.compress(message) + self.compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
        size = len(payload)
        length = struct.pack(">B", 0x80 | size) if size < 126 else struct.pack(">BH", 0xFE, size)
        self.socket.sendall(b"\xC1" + length + b"\0\0\0\0" + payload)  # RSV1, and a mask of zeros

    def check_echo(self, message):
        first, length = struct.unpack(">BB", self.stream.read(2))
        if length == 126:
            length, = struct.unpack(">H", self.stream.read(2))
        echo = self.inflater.decompress(self.stream.read(length) + b"\0\0\xff\xff")
        if first != 0xC1 or echo != message:
            sys.exit("the echo is not the message compressed")


def rows_of_json(count, first=0):
    """A JSON array that compresses as such things do."""
    return json.dumps([{"id": i, "name": f"name {i * 7919 % 10007}", "on": i % 3 == 0}
                       for i in range(first, first + count)]).encode()


def measure_compressed_idle(options, how):
    message = rows_of_json(2000)  # longer than the window, so that it is filled

    def open_one(port):
        connection = Compressed(port, how)
        connection.send(message)
        connection.check_echo(message)
        return connection
    with Server(options.server + [how]) as server:
        connections = [open_one(server.port) for _ in range(10)]  # what the server takes once
        before = server.memory()
        connections += [open_one(server.port) for _ in range(COMPRESSED)]
        return (server.memory() - before) / COMPRESSED


def measure_compressed_cpu(options, how, rounds):
    with Server(options.server + [how]) as server:
        connections = [Compressed(server.port, how) for _ in range(CONNECTIONS)]
        for i in range(rounds):
            if i == rounds // 4:  # warm
                before = server.cpu()
            message = rows_of_json(24, i)
            for connection in connections:
                connection.send(message)
            for connection in connections:
                connection.check_echo(message)
        messages = (rounds - rounds // 4) * CONNECTIONS
        return {"size": len(message), "cpu_us": (server.cpu() - before) / messages / 1e3}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("load")
    parser.add_argument("server", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    milliseconds = 800 if options.quick else 6000

    rows = []
    with Server(options.server) as server:
        for size in SIZES:
            with Load(options.load, server, CONNECTIONS, size) as load:
                rows.append({"size": size, **measure_cpu(server, load, milliseconds),
                             "calls": count_calls(server, load, milliseconds // 4)})
    delivery = {n: measure_delivery(options, n, 40 if options.quick else 200) for n in (1, 8)}
    idle = measure_idle(options)
    compressed = {how: {**measure_compressed_cpu(options, how, 40 if options.quick else 200),
                        "idle_bytes": measure_compressed_idle(options, how)} for how in ("shared", "takeover")}

    if options.json:
        print(json.dumps({"echo": rows, "delivery_us": delivery, "idle": idle, "compressed": compressed}, indent=2))
        return
    print(f"Echo over {CONNECTIONS} connections, one message in flight on each:\n")
    print(f"{'bytes':>8}{'CPU us/message':>18}{'messages/s':>14}{'system calls/message':>24}")
    for row in rows:
        calls = "no strace" if row["calls"] is None else f"{row['calls']:.2f}"
        print(f"{row['size']:>8}{row['cpu_us']:>18.2f}{row['per_second']:>14}{calls:>24}")
    print(f"\nA message of {PUBLISHED} bytes to {SUBSCRIBERS} subscribers, CPU us/delivery: {delivery[1]:.2f} with one in "
          f"flight, {delivery[8]:.2f} with eight")
    print(f"\n{idle['connections']} idle connections, each after one message: {idle['bytes']:.0f} resident bytes each")
    print(f"\nCompressed, JSON:\n\n{'':>16}{'bytes':>8}{'CPU us/message':>18}{'resident bytes, idle':>24}")
    for how, row in compressed.items():
        name = "no takeover" if how == "shared" else how
        print(f"{name:>16}{row['size']:>8}{row['cpu_us']:>18.2f}{row['idle_bytes']:>24.0f}")


if __name__ == "__main__":
    main()
