"""Compares WebSocket servers: what a message, a handshake and an idle connection cost each. Linux.

Every round starts every server afresh, on a core of its own, and takes the ratio to uWebSockets inside the round. What
counts is the server's own CPU time, as the kernel measured it, and not how long the load waited.
"""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys

import measures
from cells import CELLS, PEERS, QUICK_CELLS, QUICK_PEERS, REFERENCE

BUILT = "build/bench/peers"
MARKS = "<!-- measured by make bench -->\n", "<!-- end of what make bench measured -->\n"


def parse_arguments():
    parser = argparse.ArgumentParser(prog="make bench", usage="make bench [ARGS='...']",
                                     description=__doc__.splitlines()[0],
                                     epilog="cells: %s; peers: %s" % tuple(
                                         " ".join(each.name for each in all_) for all_ in (CELLS, PEERS)))
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


def choose(things, names):
    unknown = set(names or ()) - {each.name for each in things}
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(each.name for each in things)}")
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
            turn = number % len(peers)  # nobody is always the first
            for peer in peers[turn:] + peers[:turn]:
                if cell.mode in peer.modes:
                    figures[cell.name][peer.name].append(measure(options, cell, peer, identity, number))
    return figures


def measure(options, cell, peer, identity, number):
    title = f"round {number + 1} of {options.rounds}: {cell.name}, {peer.name}"
    try:
        values, window = measures.take(cell, f"{BUILT}/{peer.name}", options.load, identity, options.milliseconds)
    except (measures.Failure, BrokenPipeError) as failure:
        say(f"{title}: failed: {failure}")
        return None
    busy = "".join(f", {who} {share:.0%} busy" for who, share in window.get("busy", {}).items())
    say(f"{title}: {', '.join(f'{value:.4g} {quantity}' for quantity, value in values.items())}{busy}")
    return {"values": values, "window": window}


# ---- what is told of it

def summarize(figures):
    """Rows of a table: { cell, quantity, { peer: (median value, (median, least, greatest ratio) or None) } }."""
    for cell in CELLS:
        rounds = figures.get(cell.name, {})
        quantities = {quantity: None for values in rounds.values() for each in values if each for quantity in each["values"]}
        for quantity in quantities:
            yield cell, quantity, {peer: summarize_peer(values, rounds.get(REFERENCE), quantity)
                                   for peer, values in rounds.items() if any(values)}


def summarize_peer(rounds, reference_rounds, quantity):
    value = statistics.median(each["values"][quantity] for each in rounds if each)
    ratios = [each["values"][quantity] / reference["values"][quantity]
              for each, reference in zip(rounds, reference_rounds or ()) if each and reference]
    return value, (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def show(value, ratio, is_reference):
    if is_reference or ratio is None:
        return f"{value:.4g}"
    median, least, greatest = ratio
    return f"{median:.2f}" if least == greatest else f"{median:.2f} ({least:.2f}-{greatest:.2f})"


def table(figures, peers):
    """Lists of cells as text, the head first."""
    yield ["", "aim", *(f"{peer.title}" for peer in peers)]
    for cell, quantity, row in summarize(figures):
        yield [f"{cell.title}, {quantity}", f"{cell.aim:.2f}" if cell.aim else "",
               *(show(*row[peer.name], peer.name == REFERENCE) if peer.name in row else "" for peer in peers)]


def aligned(rows):
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [[text.ljust(width) for text, width in zip(row, widths)] for row in rows]


def describe_machine():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    return {"date": datetime.date.today().isoformat(), "cpu": model[1] if model else platform.machine(),
            "cores": os.cpu_count(), "kernel": ".".join(platform.release().split(".")[:2])}


def write_markdown(path, rows, report):
    head, *body = aligned(rows)
    lines = [head, ["-" * len(text) for text in head], *body]
    machine, versions = report["machine"], report["versions"]
    text = (f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; "
            f"{report['rounds']} rounds of {report['milliseconds']} ms. "
            + ", ".join(f"{peer.title}: {versions[peer.name]}" for peer in PEERS if peer.name in versions) + ".\n\n"
            + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    with open(path) as file:
        before, _, rest = file.read().partition(MARKS[0])
    with open(path, "w") as file:
        file.write(before + MARKS[0] + text + MARKS[1] + rest.partition(MARKS[1])[2])


def main():
    options = parse_arguments()
    os.makedirs(BUILT, exist_ok=True)
    versions = {peer.name: build(peer) for peer in options.peers}
    peers = [peer for peer in options.peers if versions[peer.name]]
    figures = measure_all(options, peers)
    report = {"machine": describe_machine(), "rounds": options.rounds, "milliseconds": options.milliseconds,
              "versions": {name: version for name, version in versions.items() if version}, "figures": figures}
    rows = list(table(figures, peers))
    print("\n".join("  ".join(row).rstrip() for row in aligned(rows)))
    print(f"\n{peers[0].title if peers[0].name == REFERENCE else 'Each'} as it is, the others as a multiple of it: median "
          f"(least-greatest) of {options.rounds} rounds.")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(report, file, indent=1)
    if options.markdown:
        write_markdown(options.markdown, rows, report)


if __name__ == "__main__":
    main()
