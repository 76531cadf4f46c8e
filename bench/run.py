"""What an echoed message and an idle connection cost a server: CPU time, system calls, resident memory.

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
import subprocess
import sys
import tempfile

SIZES = (20, 1024, 16 * 1024, 64 * 1024)
CONNECTIONS = 50
IDLE = 10_000
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
    idle = measure_idle(options)

    if options.json:
        print(json.dumps({"echo": rows, "idle": idle}, indent=2))
        return
    print(f"Echo over {CONNECTIONS} connections, one message in flight on each:\n")
    print(f"{'bytes':>8}{'CPU us/message':>18}{'messages/s':>14}{'system calls/message':>24}")
    for row in rows:
        calls = "no strace" if row["calls"] is None else f"{row['calls']:.2f}"
        print(f"{row['size']:>8}{row['cpu_us']:>18.2f}{row['per_second']:>14}{calls:>24}")
    print(f"\n{idle['connections']} idle connections, each after one message: {idle['bytes']:.0f} resident bytes each")


if __name__ == "__main__":
    main()
