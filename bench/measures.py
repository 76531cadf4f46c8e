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
DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # of one process, at most
BESIDES = 100                                                # that a server, or the load, has besides its connections


class Failure(Exception):
    """Of a server or the load; the other cells and peers go on."""


class Process:
    """A program on one core, with as many descriptors as there may be, that ends with a with block."""

    def __init__(self, command, core):
        def prepare():
            os.sched_setaffinity(0, {core})
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
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
    def __init__(self, command, server, arguments, connections):
        super().__init__([command, "-p", server.port, "-s", str(server.pid), "-c", str(connections),
                          *arguments.split()], CORES[-1])
        self.read_line()

    def run(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.read_line())


def window(load, word, milliseconds):
    """A window after one to warm up (compilers at run time need it), with how busy both were."""
    load.run(word, milliseconds)
    result = load.run(word, milliseconds)
    result["busy"] = {"server": result["server_ns"] / result["ns"], "load": result["load_ns"] / result["ns"]}
    return result


# ---- A measure returns { quantity: value }, the main one first, and what is known of its window.

def cpu(_, load, milliseconds, word="echo"):
    result = window(load, word, milliseconds)
    return {"CPU us": result["server_ns"] / result["messages"] / 1e3}, result


def delivery(server, load, milliseconds):
    return cpu(server, load, milliseconds, "publish")


def handshake(server, load, milliseconds):
    return cpu(server, load, milliseconds, "handshakes")


def deflated(server, load, milliseconds):
    values, result = cpu(server, load, milliseconds)
    return {**values, "bytes of the reply": result["bytes"] / result["messages"]}, result


def stream(_, load, milliseconds):
    result = window(load, "echo", milliseconds)
    mebibytes = result["bytes"] / (1 << 20)
    return {"CPU us per MiB": result["server_ns"] / mebibytes / 1e3, "MiB/s": mebibytes * 1e9 / result["ns"]}, result


def latency(_, load, milliseconds):
    """From when a message was due, at half the rate that the server has just reached."""
    most = window(load, "echo", milliseconds)
    result = load.run("pace", milliseconds, int(most["messages"] * 1e9 / most["ns"] / 2))
    return {"p50 us": result["p50"] / 1e3, "p99 us": result["p99"] / 1e3, "p99.9 us": result["p999"] / 1e3}, result


def calls(server, load, milliseconds):
    """Where strace is and may attach."""
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
    return {"system calls": int(total[1]) / result["messages"]}, result


MEASURES = {"cpu": cpu, "delivery": delivery, "handshake": handshake, "deflated": deflated, "stream": stream,
            "latency": latency, "calls": calls}
UNCHECKED = {"delivery", "handshake"}  # in which the load's first connection does not get its own messages back


def take(cell, server_command, load_command, identity, milliseconds):
    """Plays one cell with a fresh server."""
    if cell.connections + BESIDES > DESCRIPTORS:
        raise Failure(f"{cell.connections + BESIDES} descriptors are needed, and {DESCRIPTORS} allowed: "
                      "raise the hard limit (ulimit -Hn) and try again")
    with Server(server_command, cell.mode, identity) as server:
        if cell.measure == "memory":
            return memory(server, load_command, cell)
        with Load(load_command, server, cell.load, cell.connections) as load:
            if cell.measure not in UNCHECKED:
                load.run("check")
            return MEASURES[cell.measure](server, load, milliseconds)


def memory(server, load_command, cell):
    """Resident bytes of a connection, after one message."""
    few = cell.connections // 100  # for what the server takes once; what they leave behind is used again
    with Load(load_command, server, cell.load, few) as load:
        load.run("echo", 0)
    before = server.memory()
    with Load(load_command, server, cell.load, cell.connections) as load:
        result = load.run("echo", 0)
        return {"bytes": (server.memory() - before) / cell.connections}, result
