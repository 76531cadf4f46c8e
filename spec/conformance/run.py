"""Plays Autobahn's server cases with kosoku against a server, and judges the outcome.

    run.py KOSOKU FOLDER SERVER-COMMAND...      the server prints its port first; the report goes to FOLDER

kosoku passes a run that did too few cases, and one whose server died in it: so they are counted here.
"""

import collections
import json
import pathlib
import shutil
import subprocess
import sys

# Autobahn's numbers: groups 1-7, 9 and 10. 12 and 13 are about compression.
CASES = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1}
EXCLUDED = ("12.*", "13.*")
# These have no right answer: RFC 6455 leaves open what follows a Close frame, and the codes 5000 and 65535.
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}
TIMEOUT = 300  # seconds; a good run takes less than a minute


def play(kosoku, folder, port):
    """kosoku's exit status, None after a timeout; its output goes through."""
    command = [kosoku, "-m", "fuzzingclient", "-o", str(folder)]
    for case in EXCLUDED:
        command += ["-x", case]
    try:
        return subprocess.run(command + [f"127.0.0.1:{port}"], timeout=TIMEOUT, stdin=subprocess.DEVNULL).returncode
    except subprocess.TimeoutExpired:
        return None


def judge(index):
    """The verdict of every case, and what is wrong with the run as a whole."""
    servers = list(index.values())
    cases = servers[0] if servers else {}
    bad = {}
    for case, result in cases.items():
        allowed = {"OK", "INFORMATIONAL"} if case in INFORMATIONAL else {"OK"}
        if not {result["behavior"], result["behaviorClose"]} <= allowed:
            bad[case] = f"{result['behavior']}, close {result['behaviorClose']}"
    wrong = []
    if len(servers) != 1:
        wrong.append(f"the report has {len(servers)} servers")
    count = collections.Counter(case.split(".")[0] for case in cases)
    for group in sorted(CASES.keys() | count.keys(), key=int):
        if count[group] != CASES.get(group, 0):
            wrong.append(f"group {group} has {count[group]} cases, not {CASES.get(group, 0)}")
    return cases, bad, wrong


def main():
    kosoku, folder, *command = sys.argv[1:]
    report = pathlib.Path(folder, "report")
    shutil.rmtree(report, ignore_errors=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().strip()
            if not port:
                sys.exit("the server did not start")
            status = play(kosoku, report, port)
            died = server.poll() is not None
        finally:
            server.kill()
    index = report / "index.json"
    cases, bad, wrong = judge(json.loads(index.read_text()) if index.exists() else {})
    if status is None:
        wrong.append(f"no end after {TIMEOUT} seconds")
    elif status and not bad:
        wrong.append(f"kosoku ended with status {status}")
    if died:
        wrong.append("the server died")
    for case, verdict in bad.items():
        print(f"{case}: {verdict}")
    for line in wrong:
        print(line)
    print(f"{len(cases) - len(bad)} passed, {len(bad) + len(wrong)} failed")
    return bool(bad or wrong)


if __name__ == "__main__":
    sys.exit(main())
