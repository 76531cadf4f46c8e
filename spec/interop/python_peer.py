"""An echo server, or a client that tries one, with python's websockets.

    python_peer.py serve [CERT KEY]      prints its port; "close" is closed with 4001, "die" ends the process
    python_peer.py connect URL [CA]      echoes of many sizes, then a close; prints what it saw
"""

import asyncio
import os
import ssl
import sys

import websockets

LARGE = 1 << 24


def say(*words):
    print(*words, flush=True)


async def echo(ws):
    try:
        async for message in ws:
            if message == "die":
                os._exit(1)
            if message == "close":
                await ws.close(4001, "by the peer")
                break
            await ws.send(message)
    except websockets.ConnectionClosed:
        pass
    say("saw", ws.close_code, ws.close_reason)


async def serve(*files):
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=LARGE, ssl=context, subprotocols=["v2.echo"]) as server:
        say("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()


async def connect(url, ca=None):
    options = {"ssl": ssl.create_default_context(cafile=ca)} if ca else {}
    async with websockets.connect(url, max_size=LARGE, subprotocols=["v2.echo"], **options) as ws:
        say("subprotocol", ws.subprotocol)
        for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
            for message in ("\u65e5" * (size // 3), b"\xff" * size):
                await ws.send(message)
                assert await ws.recv() == message, size
        await ws.send(["frag", "ment", "s"])
        assert await ws.recv() == "fragments"
        await (await ws.ping())
        await ws.close(3001, "ciao")
    say("saw", ws.close_code, ws.close_reason)
    async with websockets.connect(url, **options) as ws:
        await ws.send("close")
        await ws.wait_closed()
    say("saw", ws.close_code, ws.close_reason)


asyncio.run({"serve": serve, "connect": connect}[sys.argv[1]](*sys.argv[2:]))
