"""A peer that uses python's websockets: it obeys messages that begin with "do ", echoes every other, and prints how
each connection ended.

    python_peer.py DEFLATE serve [CERT KEY]      prints its port
    python_peer.py DEFLATE connect URL [CA]      connects again and again, until nobody listens there

DEFLATE: {} with RFC 7692's parameters for permessage-deflate, null for none.
"""

import asyncio
import json
import ssl
import sys

import websockets
from websockets.extensions import permessage_deflate

OPTIONS = {"max_size": 1 << 24, "subprotocols": ["v1.other", "v2.echo"], "compression": None}
# the first cut is within a character
FRAGMENTED = {"text": "\u65e5".encode() * 30000, "binary": b"\xff" * 90000}


def say(*words):
    print(*words, flush=True)


async def close(ws, code="1000", *reason):
    await ws.close(int(code), " ".join(reason))


async def terminate(ws):
    ws.transport.abort()


async def ping(ws, payload):
    await (await ws.ping(payload))
    await ws.send("pong " + payload)


async def fragments(ws, kind):
    async def parts():
        yield FRAGMENTED[kind][:100]
        await ws.ping("between")
        yield FRAGMENTED[kind][100:]
        yield b""

    await ws.send(parts(), text=kind == "text")


async def header(ws, name):
    await ws.send(ws.request.headers.get(name, ""))


async def subprotocol(ws):
    await ws.send(ws.subprotocol or "")


async def extensions(ws):
    await ws.send(",".join(extension.name for extension in ws.protocol.extensions))


COMMANDS = {command.__name__: command
            for command in (close, terminate, ping, fragments, header, subprotocol, extensions)}


async def obey(ws):
    try:
        async for message in ws:
            if isinstance(message, str) and message.startswith("do "):
                name, *arguments = message[3:].split(" ")
                await COMMANDS[name](ws, *arguments)
            else:
                await ws.send(message)
    except websockets.ConnectionClosed:
        pass
    await ws.wait_closed()
    clean = ws.protocol.close_rcvd and ws.protocol.close_sent
    say("closed", ws.close_code, "clean" if clean else "unclean", ws.close_reason)


def options_of(deflate, factory):
    return {**OPTIONS, "extensions": None if deflate is None else [factory(**deflate)]}


async def serve(deflate, *files):
    options = options_of(deflate, permessage_deflate.ServerPerMessageDeflateFactory)
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    async with websockets.serve(obey, "127.0.0.1", 0, ssl=context, **options) as server:
        say("port", server.sockets[0].getsockname()[1])
        await asyncio.Future()


async def connect(deflate, url, ca=None):
    options = options_of(deflate, permessage_deflate.ClientPerMessageDeflateFactory)
    tls = {"ssl": ssl.create_default_context(cafile=ca)} if ca else {}
    while True:
        try:
            ws = await websockets.connect(url, proxy=None, additional_headers={"X-Peer": "a peer"}, **tls, **options)
        except OSError:
            return
        await obey(ws)


asyncio.run({"serve": serve, "connect": connect}[sys.argv[2]](json.loads(sys.argv[1]), *sys.argv[3:]))
