"""What is compared: the servers, and the cells of the table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """A server: `bench/peers/ECOSYSTEM/build.sh NAME` builds it, and its first argument is one of the modes."""
    name: str
    title: str
    ecosystem: str
    modes: frozenset


@dataclass(frozen=True)
class Cell:
    """How a server of a mode is loaded, with the load's arguments and command, and how it is measured."""
    name: str
    title: str
    measure: str             # a function of measures.py
    mode: str = "echo"
    load: str = ""
    aim: float | None = None  # what moonsocket's ratio should be at most
    once: bool = False       # hardly varies: the first round is enough


def peer(name, title, ecosystem, *modes):
    return Peer(name, title, ecosystem, frozenset(modes))


REFERENCE = "uwebsockets"
PEERS = [
    peer("uwebsockets", "uWebSockets", "cargo", "echo", "shared", "takeover", "tls", "publish"),
    peer("floor", "raw floor", "c", "echo", "publish"),
    peer("moonsocket", "moonsocket", "lua", "echo", "shared", "takeover", "tls", "publish", "stream"),
    peer("fastwebsockets", "fastwebsockets", "cargo", "echo", "tls"),
    peer("libwebsockets", "libwebsockets", "system", "echo", "takeover", "tls"),
    peer("gorilla", "gorilla", "go", "echo", "shared", "tls", "publish"),
    peer("gws", "gws", "go", "echo", "shared", "takeover", "tls", "publish"),
    peer("ws", "Node ws", "npm", "echo", "shared", "takeover", "tls", "publish"),
    peer("websockets", "python websockets", "pip", "echo", "shared", "takeover", "tls", "publish"),
    peer("lua-http", "lua-http", "system", "echo"),
]

ECHO = "-c 50"
IDLE = "-c 10000"
CELLS = [
    Cell("echo-20", "echo, 20 B", "cpu", load=f"{ECHO} -b 20", aim=1.05),
    Cell("echo-1k", "echo, 1 KiB", "cpu", load=f"{ECHO} -b 1024", aim=1.05),
    Cell("echo-16k", "echo, 16 KiB", "cpu", load=f"{ECHO} -b 16384", aim=1.05),
    Cell("echo-64k", "echo, 64 KiB", "cpu", load=f"{ECHO} -b 65536", aim=0.95),
    Cell("echo-1m", "echo, 1 MiB", "cpu", load="-c 10 -b 1048576", aim=0.90),
    Cell("pipelined", "echo, 32 pipelined of 20 B", "cpu", load=f"{ECHO} -b 20 -n 32", aim=1.2),
    Cell("ascii", "text, ASCII, 1 KiB", "cpu", load=f"{ECHO} -k ascii -b 1024", aim=1.05),
    Cell("cjk", "text, CJK, 1 KiB", "cpu", load=f"{ECHO} -k cjk -b 1024", aim=1.05),
    Cell("takeover", "deflated JSON, 1 KiB, takeover", "cpu", "takeover", f"{ECHO} -k json -b 1024 -z takeover", 0.8),
    Cell("shared", "deflated JSON, 1 KiB, no takeover", "cpu", "shared", f"{ECHO} -k json -b 1024 -z shared"),
    Cell("tls-1k", "TLS, 1 KiB", "cpu", "tls", f"{ECHO} -t -b 1024", 0.98),
    Cell("tls-64k", "TLS, 64 KiB", "cpu", "tls", f"{ECHO} -t -b 65536", 0.80),
    Cell("publish-1", "delivery to 1,000, 1 in flight", "delivery", "publish", "-c 1000 -b 100", 0.95),
    Cell("publish-8", "delivery to 1,000, 8 in flight", "delivery", "publish", "-c 1000 -b 100 -n 8", 0.95),
    Cell("handshake", "handshake", "handshake", load="-c 0", aim=1.05),
    Cell("stream", "streamed echo of 16 MiB in fragments", "stream", "stream", "-c 1 -b 16777216 -f 65536"),
    Cell("latency", "latency at half load, 1 KiB", "latency", load=f"{ECHO} -b 1024"),
    Cell("calls", "system calls, echo, 1 KiB", "calls", load=f"{ECHO} -b 1024", once=True),
    Cell("idle", "idle connection", "memory", load=f"{IDLE} -b 20", once=True),
    Cell("idle-tls", "idle connection, TLS", "memory", "tls", f"{IDLE} -t -b 20", once=True),
    Cell("idle-shared", "idle connection, deflated, no takeover", "memory", "shared",
         f"{IDLE} -k json -b 1024 -z shared", once=True),
    Cell("idle-takeover", "idle connection, deflated, takeover", "memory", "takeover",
         "-c 500 -k json -b 65536 -z takeover", once=True),
]
QUICK_CELLS = ["echo-20", "echo-1k", "echo-64k"]
QUICK_PEERS = ["uwebsockets", "floor", "moonsocket"]
