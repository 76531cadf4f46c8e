"""Compares WebSocket servers: what a message, a handshake and an idle connection cost each. Linux.

Every round starts every server afresh, on a core of its own, and takes the ratio to uWebSockets inside the round. What
counts is the server's own CPU time, as the kernel measured it, and not how long the load waited.
"""

import argparse
import json
import os
import subprocess
import sys

import measures
import report
from cells import CELLS, PEERS, QUICK_CELLS, QUICK_PEERS

BUILT = "build/bench/peers"


def parse_arguments():
    parser = argparse.ArgumentParser(prog="make bench", usage="make bench [ARGS='...']",
                                     description=__doc__.splitlines()[0],
                                     epilog=f"cells: {names_of(CELLS)}; peers: {names_of(PEERS)}")
    parser.add_argument("--quick", action="store_true", help="few cells, peers and rounds: within a minute")
    parser.add_argument("--cells", type=lambda text: text.split(","), help="some of the cells: NAME,...")
    parser.add_argument("--peers", type=lambda text: text.split(","), help="some of the peers: NAME,...")
    parser.add_argument("--rounds", type=int, help="5 where not told")
    parser.add_argument("--milliseconds", type=int, help="of a window, 1000 where not told")
    parser.add_argument("--json", metavar="FILE", help="writes every round's figures")
    parser.add_argument("--markdown", metavar="FILE", help="writes the table into a document, between its marks")
    parser.add_argument("load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.milliseconds = options.milliseconds or (300 if options.quick else 1000)
    options.cells = choose(CELLS, options.cells or (QUICK_CELLS if options.quick else None))
    options.peers = choose(PEERS, options.peers or (QUICK_PEERS if options.quick else None))
    return options


def names_of(things):
    return ", ".join(each.name for each in things)


def choose(things, names):
    unknown = set(names or ()) - {each.name for each in things}
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; there are {names_of(things)}")
    return [each for each in things if names is None or each.name in names]


def say(text):
    print(text, file=sys.stderr, flush=True)


def is_built(folder, version):
    """True if it was after everything in its folder changed for the last time."""
    return os.path.exists(version) and os.path.getmtime(version) > max(
        os.path.getmtime(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)


def build(peer):
    """Its version; None where it cannot be built here."""
    path, folder = f"{BUILT}/{peer.name}", f"bench/peers/{peer.ecosystem}"
    if not is_built(folder, f"{path}.version") and not build_anew(peer.name, folder, f"{path}.log"):
        return None
    with open(f"{path}.version") as file:
        return file.read().strip()


def build_anew(name, folder, log_path):
    say(f"building {name}")
    with open(log_path, "w+") as log:
        done = subprocess.run([f"{folder}/build.sh", name], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.seek(0)
        lines = log.read().strip().splitlines() or ["no reason was given"]
    if done.returncode != 0:
        say(f"missing: {name}, which could not be built: {lines[-1]} (all of it in {log_path})")
    return done.returncode == 0


def make_identity():
    """A certificate and its key, for 127.0.0.1."""
    paths = "build/bench/certificate.pem", "build/bench/key.pem"
    if not all(map(os.path.exists, paths)):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "3650", "-subj", "/CN=localhost", "-out", paths[0], "-keyout", paths[1]],
                       check=True, stderr=subprocess.DEVNULL)
    return paths


def measure_all(options, peers):
    """{ cell: { peer: [a round's { "values": { quantity: value }, "window": } or None where it failed] } }"""
    identity = make_identity()
    figures = {cell.name: {peer.name: [] for peer in peers if cell.mode in peer.modes} for cell in options.cells}
    for number in range(options.rounds):
        for cell in options.cells:
            if cell.once and number > 0:
                continue
            for peer in peers[::-1 if number % 2 else 1]:  # neighbours stay so: a machine changes within a minute
                if cell.mode in peer.modes:
                    figures[cell.name][peer.name].append(measure(options, cell, peer, identity, number))
    return figures


def measure(options, cell, peer, identity, number):
    title = f"round {number + 1} of {options.rounds}: {cell.name}, {peer.name}"
    try:
        values, window = measures.take(cell, f"{BUILT}/{peer.name}", options.load, identity, options.milliseconds)
    except (measures.Failure, OSError) as failure:
        say(f"{title}: failed: {failure}")
        return None
    busy = "".join(f", {who} {share:.0%} busy" for who, share in window.get("busy", {}).items())
    say(f"{title}: {', '.join(f'{value:.4g} {quantity}' for quantity, value in values.items())}{busy}")
    return {"values": values, "window": window}


def main():
    options = parse_arguments()
    os.makedirs(BUILT, exist_ok=True)
    versions = {peer.name: build(peer) for peer in options.peers}
    peers = [peer for peer in options.peers if versions[peer.name]]
    if not peers:
        sys.exit("no server is left to measure")
    results = {"machine": report.describe_machine(), "rounds": options.rounds, "milliseconds": options.milliseconds,
               "versions": {peer.name: versions[peer.name] for peer in peers}, "figures": measure_all(options, peers)}
    print(report.text(results))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)
    if options.markdown:
        report.write_markdown(options.markdown, results)


if __name__ == "__main__":
    main()
