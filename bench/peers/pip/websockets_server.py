"""websockets, as its documentation does it. Prints its port.

    websockets_server.py echo | shared | takeover | publish
    websockets_server.py tls CERTIFICATE KEY
"""

import asyncio
import ssl
import sys

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

MODE = sys.argv[1]
COMPRESSION = {
    "shared": ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True),
    "takeover": ServerPerMessageDeflateFactory(),
}


async def handle(websocket):
    try:
        async for message in websocket:
            if MODE == "publish":
                broadcast(websocket.server.connections, message)
            else:
                await websocket.send(message)
    except ConnectionClosed:
        pass


async def main():
    context = None
    if MODE == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[2:4])
    extensions = [COMPRESSION[MODE]] if MODE in COMPRESSION else None
    async with serve(handle, "127.0.0.1", 0, ssl=context, compression=None, extensions=extensions, max_size=1 << 26,
                     ping_timeout=120, backlog=1024) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
