"""What is told of the figures: tables, on the terminal and in a document.

The figures are { cell: { peer: [a round's { "values": { quantity: value }, ... }, or None where it failed] } }.
"""

import datetime
import os
import platform
import re
import statistics

from cells import CELLS, PEERS, REFERENCE

MARKS = "<!-- measured by make bench -->\n", "<!-- end of what make bench measured -->\n"
CLOSE = [REFERENCE, "floor", "moonsocket"]  # these with how far the rounds went apart, the others in a table of medians


def describe_machine():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    return {"date": datetime.date.today().isoformat(), "cpu": model[1] if model else platform.machine(),
            "cores": os.cpu_count(), "kernel": ".".join(platform.release().split(".")[:2])}


def ratios(rounds, reference, quantity):
    """To the reference, each in its round."""
    return [each["values"][quantity] / other["values"][quantity] for each, other in zip(rounds, reference or ())
            if each and other]


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def show(rounds, reference, quantity, with_range):
    """One peer's entry: as a multiple of the reference; as it is, where it is the reference or there is none."""
    found = ratios(rounds, reference, quantity)
    if rounds is reference or not found:
        return number(statistics.median(each["values"][quantity] for each in rounds if each))
    median = f"{statistics.median(found):.2f}"
    return f"{median} ({min(found):.2f}-{max(found):.2f})" if with_range and len(found) > 1 else median


def rows(results, names, with_range):
    """Lists of texts, the head first; only cells that one of these peers played."""
    yield ["", *(["aim"] if with_range else []), *(peer.title for peer in PEERS if peer.name in names)]
    for cell in CELLS:
        played = {name: rounds for name, rounds in results["figures"].get(cell.name, {}).items() if any(rounds)}
        reference = played.get(REFERENCE) if cell.is_ratio else None
        quantities = [quantity for name, rounds in played.items() if name in names
                      for quantity in next(filter(None, rounds))["values"]]
        for i, quantity in enumerate(dict.fromkeys(quantities)):
            aim = number(cell.aim) if cell.aim and i == 0 else ""
            yield [f"{cell.title}: {quantity}", *([aim] if with_range else []),
                   *(show(played[peer.name], reference, quantity, with_range) if peer.name in played else ""
                     for peer in PEERS if peer.name in names)]


def aligned(lines):
    widths = [max(map(len, column)) for column in zip(*lines)]
    return [[text.ljust(width) for text, width in zip(line, widths)] for line in lines]


def tables(results):
    """Of those that are close, and of the others beside this one."""
    there = results["versions"]
    yield aligned(list(rows(results, [name for name in CLOSE if name in there], True)))
    if set(there) - set(CLOSE):
        yield aligned(list(rows(results, [name for name in there if name not in ("floor", REFERENCE)], False)))


def explain(results):
    if REFERENCE not in results["versions"]:
        return f"Medians of {results['rounds']} rounds."
    title = next(peer.title for peer in PEERS if peer.name == REFERENCE)
    return (f"{title} as it is, the others as a multiple of it in the same round, but for latencies, calls and memory, "
            f"which are as they are; median (least-greatest) of {results['rounds']} rounds.")


def text(results):
    return "\n\n".join("\n".join("  ".join(line).rstrip() for line in table) for table in tables(results)) \
        + "\n\n" + explain(results)


def markdown(results):
    machine, versions = results["machine"], results["versions"]
    yield (f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; windows of "
           f"{results['milliseconds']} ms. {explain(results)}\n")
    for head, *body in tables(results):
        lines = [head, ["-" * len(text) for text in head], *body]
        yield "".join(f"| {' | '.join(line)} |\n" for line in lines)
    named = [f"{peer.title} {versions[peer.name]}" for peer in PEERS if peer.name in versions]
    yield f"Versions: {'; '.join(named)}.\n"


def write_markdown(path, results):
    with open(path) as file:
        before, _, rest = file.read().partition(MARKS[0])
    with open(path, "w") as file:
        file.write(before + MARKS[0] + "\n".join(markdown(results)) + MARKS[1] + rest.partition(MARKS[1])[2])
