"""One server under one load: processes on a core each, and what a cell is measured by."""

import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import tempfile

PATIENCE = 120  # seconds for one line of a process
CORES = sorted(os.sched_getaffinity(0))


class Failure(Exception):
    """Of a server or the load; the other cells and peers go on."""


class Process:
    """A program on one core, with as many descriptors as there may be, that ends with a with block."""

    def __init__(self, command, core):
        def prepare():
            os.sched_setaffinity(0, {core})
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.name = os.path.basename(command[0])
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, text=True, preexec_fn=prepare, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()

    def read_line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline().strip() if ready else ""
        if not line:
            self.errors.seek(0)
            raise Failure(f"{self.name}: {self.errors.read().strip()[-200:] or 'no answer'}")
        return line


class Server(Process):
    def __init__(self, command, mode, identity):
        super().__init__([command, mode, *(identity if mode == "tls" else ())], CORES[0])
        self.port = self.read_line()

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            return int(re.search(r"^Rss:\s+(\d+) kB", file.read(), re.M)[1]) * 1024


class Load(Process):
    def __init__(self, command, server, arguments):
        super().__init__([command, "-p", server.port, "-s", str(server.pid), *arguments], CORES[-1])
        self.read_line()

    def run(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.read_line())


def window(load, word, milliseconds, *more):
    """A window after a quarter of one to warm up, with how busy both were."""
    load.run(word, milliseconds // 4, *more)
    result = load.run(word, milliseconds, *more)
    result["busy"] = {"server": result["server_ns"] / result["ns"], "load": result["load_ns"] / result["ns"]}
    return result


# ---- A measure returns { quantity: value } and, where it was a window, what is known of it.

def cpu_per_message(result, quantity):
    return {quantity: result["server_ns"] / result["messages"] / 1e3}, result


def cpu(_, load, milliseconds):
    load.run("check")
    return cpu_per_message(window(load, "echo", milliseconds), "CPU us")


def delivery(_, load, milliseconds):
    return cpu_per_message(window(load, "publish", milliseconds), "CPU us")


def handshake(_, load, milliseconds):
    return cpu_per_message(window(load, "handshakes", milliseconds), "CPU us")


def stream(_, load, milliseconds):
    load.run("check")
    result = window(load, "echo", milliseconds)
    mebibytes = result["bytes"] / (1 << 20)
    return {"CPU us/MiB": result["server_ns"] / mebibytes / 1e3, "MiB/s": mebibytes * 1e9 / result["ns"]}, result


def latency(_, load, milliseconds):
    most = window(load, "echo", milliseconds)
    rate = int(most["messages"] * 1e9 / most["ns"] / 2)
    result = load.run("pace", milliseconds, rate)
    return {name: result[key] / 1e3 for name, key in (("p50 us", "p50"), ("p99 us", "p99"), ("p99.9 us", "p999"))}, \
        {**result, "rate": rate}


def calls(server, load, milliseconds):
    """System calls per message, where strace is and may attach."""
    load.run("check")
    if not shutil.which("strace"):
        raise Failure("no strace")
    with tempfile.NamedTemporaryFile("r") as table:
        strace = subprocess.Popen(["strace", "-c", "-f", "-o", table.name, "-p", str(server.pid)],
                                  stderr=subprocess.PIPE, text=True)
        if "attached" not in strace.stderr.readline():
            strace.kill()
            raise Failure("strace may not attach")
        result = load.run("echo", milliseconds)
        strace.send_signal(signal.SIGINT)
        strace.communicate()
        total = re.search(r"^100\.00 +\S+ +\S+ +(\d+)", table.read(), re.M)
    return {"calls": int(total[1]) / result["messages"]}, result


def take(cell, server_command, load_command, identity, milliseconds):
    """Plays one cell with a fresh server. Returns { quantity: value } and what is known of the window."""
    arguments = cell.load.split()
    with Server(server_command, cell.mode, identity) as server:
        if cell.measure == "memory":
            return memory(server, load_command, arguments)
        with Load(load_command, server, arguments) as load:
            return MEASURES[cell.measure](server, load, milliseconds)


def memory(server, load_command, arguments):
    """Resident bytes per connection, each after one message."""
    count = int(arguments[arguments.index("-c") + 1])
    with Load(load_command, server, ["-c", "100", *arguments[2:]]) as load:  # what the server takes once, whoever comes
        load.run("echo", 0)
    before = server.memory()
    with Load(load_command, server, arguments) as load:
        result = load.run("echo", 0)
        return {"bytes": (server.memory() - before) / count}, result


MEASURES = {"cpu": cpu, "delivery": delivery, "handshake": handshake, "stream": stream, "latency": latency,
            "calls": calls}
