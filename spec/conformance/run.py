"""Plays Autobahn's cases with kosoku against a server and against a client, and judges the outcome.

    run.py [--large] KOSOKU FOLDER INTERPRETER SERVER CLIENT

Both at the same time. Without --large those cases of compression are left out that echo a thousand messages of 64 KiB or
more: they take six of the eight minutes. The server prints its port first; the client is given kosoku's. Reports go to
FOLDER. kosoku passes a run that did too few cases, and one whose server died in it: so they are counted here.
"""

import collections
import concurrent.futures
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import time

# Autobahn's numbers, by group.
CASES = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1}
# The groups about compression have subgroups of 18 cases each. Of those, the ones with large messages by their number.
SUBGROUPS = {"12": 5, "13": 7}
LARGE = (9, 10, 14, 15, 16, 17, 18)
# These have no right answer: RFC 6455 leaves open what follows a Close frame, and the codes 5000 and 65535.
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}
TIMEOUT = 900  # seconds; a good run takes less than a minute, and with --large five


class Suite:
    """The cases that are played."""

    def __init__(self, kosoku, large):
        self.kosoku = kosoku
        self.excluded = [] if large else [f"{group}.{subgroup}.{number}" for group, count in SUBGROUPS.items()
                                          for subgroup in range(1, count + 1) for number in LARGE]
        each = 18 if large else 18 - len(LARGE)
        self.cases = CASES | {group: count * each for group, count in SUBGROUPS.items()}

    def command(self, mode, folder, address):
        command = [self.kosoku, "-m", mode, "-o", str(folder)]
        for case in self.excluded:
            command += ["-x", case]
        return command + [address]


def play_server(suite, folder, command):
    """kosoku is the client. What was wrong with the run, as far as its processes tell."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip()
            if not port:
                return ["the server did not start"]
            wrong = end_of(subprocess.Popen(suite.command("fuzzingclient", folder, f"127.0.0.1:{port}"),
                                            stdin=subprocess.DEVNULL), "kosoku")
            return wrong + ["the server died"] * (server.poll() is not None)
        finally:
            server.kill()


def play_client(suite, folder, command):
    """kosoku is the server, until the client has asked it for the report."""
    port = free_port()
    server = subprocess.Popen(suite.command("fuzzingserver", folder, f"127.0.0.1:{port}"), stdin=subprocess.DEVNULL)
    await_listening(port, server)
    wrong = end_of(subprocess.Popen(command + [str(port)], stdin=subprocess.DEVNULL), "the client")
    return wrong + end_of(server, "kosoku")


def end_of(process, name):
    """Waits for it; what was wrong with its end."""
    try:
        status = process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        return [f"{name}: no end after {TIMEOUT} seconds"]
    return [f"{name} ended with status {status}"] if status else []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_listening(port, process):
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)


def judge(index, expected):
    """The verdict of every case, and what is wrong with the run as a whole."""
    peers = list(index.values())
    cases = peers[0] if peers else {}
    bad = {}
    for case, result in cases.items():
        allowed = {"OK", "INFORMATIONAL"} if case in INFORMATIONAL else {"OK"}
        if not {result["behavior"], result["behaviorClose"]} <= allowed:
            bad[case] = f"{result['behavior']}, close {result['behaviorClose']}"
    wrong = []
    if len(peers) != 1:
        wrong.append(f"the report is about {len(peers)} peers")
    count = collections.Counter(case.split(".")[0] for case in cases)
    for group in sorted(expected.keys() | count.keys(), key=int):
        if count[group] != expected.get(group, 0):
            wrong.append(f"group {group} has {count[group]} cases, not {expected.get(group, 0)}")
    return cases, bad, wrong


def run(role, play, suite, folder, command):
    """Plays one role and prints what failed. How many passed, how many failed."""
    report = pathlib.Path(folder, "report", role)
    shutil.rmtree(report, ignore_errors=True)
    wrong = play(suite, report, command)
    index = report / "index.json"
    cases, bad, miscounted = judge(json.loads(index.read_text()) if index.exists() else {}, suite.cases)
    if bad:  # that is what kosoku's status says, too
        wrong = [line for line in wrong if line != "kosoku ended with status 1"]
    for case, verdict in bad.items():
        print(f"{role} {case}: {verdict}")
    for line in wrong + miscounted:
        print(f"{role}: {line}")
    return len(cases) - len(bad), len(bad) + len(wrong) + len(miscounted)


def main():
    *option, kosoku, folder, interpreter, server, client = sys.argv[1:]
    suite = Suite(kosoku, option == ["--large"])
    roles = [("server", play_server, server), ("client", play_client, client)]
    with concurrent.futures.ThreadPoolExecutor() as executor:
        outcomes = executor.map(lambda role: run(role[0], role[1], suite, folder, [interpreter, role[2]]), roles)
    passed, failed = map(sum, zip(*outcomes))
    print(f"{passed} passed, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
