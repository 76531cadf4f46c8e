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
    """How a server is measured: by a function of measures.py, under a load of these arguments."""
    name: str
    title: str
    measure: str
    load: str
    mode: str = "echo"        # of the server
    connections: int = 50
    aim: float | None = None  # what moonsocket's figure should be at most
    is_ratio: bool = True     # the figure is the ratio to the reference
    once: bool = False        # hardly varies, or takes long: the first round is enough


def peer(name, title, ecosystem, *modes):
    return Peer(name, title, ecosystem, frozenset(modes))


REFERENCE = "uwebsockets"
PEERS = [
    peer("uwebsockets", "uWebSockets", "cargo", "echo", "shared", "takeover", "tls", "publish"),
    peer("floor", "raw floor", "c", "echo", "publish", "tls"),
    peer("moonsocket", "moonsocket", "lua", "echo", "shared", "takeover", "tls", "publish", "stream"),
    peer("fastwebsockets", "fastwebsockets", "cargo", "echo", "tls"),
    peer("libwebsockets", "libwebsockets", "system", "echo", "takeover", "tls"),
    peer("gorilla", "gorilla", "go", "echo", "shared", "tls", "publish"),
    peer("gws", "gws", "go", "echo", "shared", "takeover", "tls", "publish"),
    peer("ws", "Node ws", "npm", "echo", "shared", "takeover", "tls", "publish"),
    peer("websockets", "python websockets", "pip", "echo", "shared", "takeover", "tls", "publish"),
    peer("lua-http", "lua-http", "system", "echo"),
]

CELLS = [
    Cell("echo-20", "echo, 20 B", "cpu", "-b 20", aim=1.05),
    Cell("echo-1k", "echo, 1 KiB", "cpu", "-b 1024", aim=1.05),
    Cell("echo-16k", "echo, 16 KiB", "cpu", "-b 16384", aim=1.05),
    Cell("echo-64k", "echo, 64 KiB", "cpu", "-b 65536", aim=0.95),
    Cell("echo-1m", "echo, 1 MiB", "cpu", "-b 1048576", aim=0.90, connections=10),
    Cell("pipelined", "echo, 32 of 20 B at once", "cpu", "-b 20 -n 32", aim=1.2),
    Cell("ascii", "text, ASCII, 1 KiB", "cpu", "-k ascii -b 1024", aim=1.05),
    Cell("cjk", "text, CJK, 1 KiB", "cpu", "-k cjk -b 1024", aim=1.05),
    Cell("takeover", "deflated JSON, 1 KiB, takeover", "deflated", "-k json -b 1024 -z takeover", "takeover", aim=0.8),
    Cell("shared", "deflated JSON, 1 KiB, no takeover", "deflated", "-k json -b 1024 -z shared", "shared"),
    Cell("tls-1k", "TLS, 1 KiB", "cpu", "-t -b 1024", "tls", aim=0.98),
    Cell("tls-64k", "TLS, 64 KiB", "cpu", "-t -b 65536", "tls", aim=0.80),
    Cell("publish-1", "delivery to 1,000 subscribers", "delivery", "-b 100", "publish", aim=0.95, connections=1000),
    Cell("publish-8", "the same, 8 messages at once", "delivery", "-b 100 -n 8", "publish", aim=0.95, connections=1000),
    Cell("publish-10", "delivery to 10 subscribers", "delivery", "-b 100", "publish", connections=10, once=True),
    Cell("publish-10k", "delivery to 10,000 subscribers", "delivery", "-b 100", "publish", connections=10000, once=True),
    Cell("handshake", "handshake", "handshake", "", aim=1.05, connections=0),
    Cell("stream", "streamed echo of 16 MiB", "stream", "-b 16777216 -f 65536", "stream", connections=1),
    Cell("latency", "latency, 1 KiB, half load", "latency", "-b 1024", is_ratio=False),
    Cell("growth-10", "echo, 20 B, 10 connections", "cpu", "-b 20", connections=10, once=True),
    Cell("growth-1k", "echo, 20 B, 1,000 connections", "cpu", "-b 20", connections=1000, once=True),
    Cell("growth-20k", "echo, 20 B, 19,900 connections", "cpu", "-b 20", connections=19900, once=True),
    Cell("calls", "echo, 1 KiB", "calls", "-b 1024", aim=2.06, is_ratio=False, once=True),
    Cell("idle", "idle connection", "memory", "-b 20", connections=10000, aim=1024, is_ratio=False, once=True),
    Cell("idle-tls", "idle, TLS", "memory", "-t -b 20", "tls", connections=10000, aim=12288, is_ratio=False,
         once=True),
    Cell("idle-shared", "idle, deflated, no takeover", "memory", "-k json -b 1024 -z shared", "shared",
         connections=10000, aim=2048, is_ratio=False, once=True),
    Cell("idle-takeover", "idle, deflated, takeover", "memory", "-k json -b 65536 -z takeover", "takeover",
         connections=500, is_ratio=False, once=True),  # messages longer than the window, so that it is filled
]
QUICK_CELLS = ["echo-20", "echo-1k", "echo-64k"]
QUICK_PEERS = ["uwebsockets", "floor", "moonsocket"]
