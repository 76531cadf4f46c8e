"""A TLS peer that is not ours, on Python's ssl: it says what it sees, in lines.

    peer.py client PORT [options]   one connection for each of --names, else --times that resume sessions
    peer.py server [options]        prints its port, then serves --times connections

A line for each handshake: "handshake VERSION alpn=... cn=... reused=..." or "failed REASON"; after that a WebSocket is
opened, and ended as --end says: "orderly" (Close frames, close_notify, FIN), "notify" (close_notify, FIN), "fin" (FIN
alone) or "reset". "ended HOW" is how the other side ended.
"""

import argparse
import base64
import hashlib
import re
import socket
import ssl
import struct

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
VERSIONS = {"1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
CLOSE = {True: b"\x88\x82\x00\x00\x00\x00\x03\xe8", False: b"\x88\x02\x03\xe8"}


def say(*words):
    print(*words, flush=True)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("client", "server"))
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--names", help="asked for by SNI, one connection each, with commas between; '': none")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--version", choices=VERSIONS)
    parser.add_argument("--alpn", help="names, with commas between")
    parser.add_argument("--ca")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--ask", action="store_true", help="a server: for a client's certificate")
    parser.add_argument("--end", default="orderly")
    return parser.parse_args()


def make_context(options):
    server = options.role == "server"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    if options.version:
        context.set_ciphers("ALL:@SECLEVEL=0")  # OpenSSL has nothing for 1.1 otherwise
        context.minimum_version = context.maximum_version = VERSIONS[options.version]
    if options.alpn:
        context.set_alpn_protocols(options.alpn.split(","))
    if options.cert:
        context.load_cert_chain(options.cert, options.key)
    if options.ca:
        context.load_verify_locations(options.ca)
    if not server:
        context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if options.ca and not server else \
        ssl.CERT_OPTIONAL if options.ask else ssl.CERT_NONE
    return context


def common_name(tls):
    certificate = tls.getpeercert() or {}
    return dict(pair for part in certificate.get("subject", ()) for pair in part).get("commonName")


def read_head(tls):
    head = b""
    while b"\r\n\r\n" not in head:
        head += tls.recv(1) or exit("no head")
    return head.decode()


def open_as_client(tls):
    tls.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    assert read_head(tls).startswith("HTTP/1.1 101 ")


def open_as_server(tls):
    key = re.search("Sec-WebSocket-Key: *(.*)\r\n", read_head(tls), re.I)[1]
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    tls.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    assert tls.recv(7)  # the client's message: it has seen the answer


def end_orderly(tls, is_client):
    """The Close frames, then the server ends TLS first (RFC 6455 section 7.1.1). Says how the other side ended."""
    tls.sendall(CLOSE[is_client])
    try:
        frame = tls.recv(8)  # all of it, masked as a client's is
        while is_client and frame and tls.recv(4096):
            pass
        tls.unwrap()
        say("ended", "close_notify" if frame[:1] == b"\x88" else frame)
    except ssl.SSLEOFError:
        say("ended", "fin")
    except ConnectionResetError:
        say("ended", "reset")


def end(tls, how, is_client):
    session = tls.session if is_client else None
    if how == "orderly":
        end_orderly(tls, is_client)
    elif how == "notify":
        try:
            tls.unwrap()
        except (OSError, ssl.SSLError):
            pass
    elif how == "reset":
        tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    plain = socket.socket(fileno=tls.detach())
    if how in ("notify", "fin"):
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(4096):
            pass
    plain.close()
    return session


def talk(tls, options):
    is_client = options.role == "client"
    (open_as_client if is_client else open_as_server)(tls)
    return end(tls, options.end, is_client)


def shake(context, plain, options, **extra):
    try:
        tls = context.wrap_socket(plain, server_side=options.role == "server", suppress_ragged_eofs=False, **extra)
        say("handshake", tls.version(), f"alpn={tls.selected_alpn_protocol()}", f"cn={common_name(tls)}",
            f"reused={tls.session_reused}")
        return talk(tls, options)
    except (OSError, ssl.SSLError) as wrong:
        say("failed", wrong)


def connect(options):
    return socket.create_connection(("127.0.0.1", options.port))


def client(options):
    context, session = make_context(options), None
    if options.names:
        for name in options.names.split(","):
            shake(context, connect(options), options, server_hostname=name or None)
        return
    for _ in range(options.times):
        session = shake(context, connect(options), options, session=session)


def server(options):
    context, listening = make_context(options), socket.create_server(("127.0.0.1", 0))
    say("port", listening.getsockname()[1])
    for _ in range(options.times):
        shake(context, listening.accept()[0], options)


settings = arguments()
(client if settings.role == "client" else server)(settings)
