"""What one side of a connection sends, at random, and what must be told of it."""

import base64
import hashlib
import struct

LIMIT = 64 * 1024      # max_message of whom it is sent to
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999)
BAD_CODES = (0, 999, 1004, 1005, 1006, 1015, 2000, 5000, 65535)

UNOPENED = "unopened"  # a truth: no connection came about


def frame(rng, opcode, payload=b"", fin=True, masked=True):
    size = len(payload)
    head = bytes([opcode | (0x80 if fin else 0)])
    mask = 0x80 if masked else 0
    if size < 126:
        head += bytes([mask | size])
    elif size < 65536:
        head += struct.pack("!BH", mask | 126, size)
    else:
        head += struct.pack("!BQ", mask | 127, size)
    if not masked:
        return head + payload
    key = rng.randbytes(4)
    pattern = int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return head + key + (int.from_bytes(payload, "big") ^ pattern).to_bytes(size, "big")


def request(number):
    return (f"GET /{number} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n").encode()


def answer(key):
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")


WRONG_ANSWERS = (
    answer(b"another key"),
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nhere",
    b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbus\r\n1\r\ny\r\n0\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nLocation: ws://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\n\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x00" * 100,
)


class Script:
    """The bytes, and how they must end: piece by piece, each with the truth once it has been read as a whole."""

    def __init__(self, rng, opening, masks):
        self.rng, self.masks = rng, masks
        self.pieces = [(opening, 1006)]
        self.truth = UNOPENED  # of what was sent; None: not known

    def frame(self, *arguments, **more):
        return frame(self.rng, *arguments, masked=self.masks, **more)

    def close(self):
        code = self.rng.choice((None,) + CODES)
        reason = self.rng.choice(("", "bye", "ünïcödé", "x" * 123)).encode()
        payload = b"" if code is None else struct.pack("!H", code) + reason
        return self.frame(8, payload), 1005 if code is None else code

    def message(self):
        """One message, whole or in fragments, some with a ping in between."""
        rng = self.rng
        size = rng.choice((0, 1, 20, 125, 126, 1000, 5000, 30000))
        if rng.random() < 0.7:
            return self.frame(rng.choice((1, 2)), b"m" * size)
        ping = self.frame(9, b"p" * rng.randrange(126)) if rng.random() < 0.5 else b""
        return self.frame(1, b"m" * size, fin=False) + ping + self.frame(0, b"m" * size)

    def mistake(self):
        rng = self.rng
        return rng.choice((
            frame(rng, 1, b"masked or not", masked=not self.masks),
            self.frame(rng.choice((3, 7, 11, 15)), b"unknown opcode"),
            self.frame(0x40 | 1, b"reserved bit"),
            self.frame(1, b"\xff\xfe not UTF-8"),
            self.frame(0, b"continues nothing"),
            self.frame(9, b"long ping" * 20),
            self.frame(2, b"x" * (LIMIT + 1)),
            self.frame(8, struct.pack("!H", rng.choice(BAD_CODES))),
            rng.randbytes(rng.randrange(1, 200)),
        ))

    def bytes(self):
        """Decides on everything that is sent; self.truth says what comes of it."""
        rng = self.rng
        for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
            self.pieces.append((self.message(), 1006))
        end = rng.random()
        if end < 0.4:
            self.pieces.append(self.close())
        elif end < 0.6:
            self.pieces.append((self.mistake(), None))
        if rng.random() < 0.1:
            self.pieces.append((self.message(), self.pieces[-1][1]))
        data = b"".join(piece for piece, _ in self.pieces)
        if rng.random() < 0.3:
            data = data[:rng.randrange(len(data))]
        left = len(data)
        for piece, truth in self.pieces:
            left -= len(piece)
            if left >= 0 or truth is None and left > -len(piece):
                self.truth = truth
        return data


def of_a_client(rng, number):
    return Script(rng, request(number), masks=True)


def of_a_server(rng, key):
    script = Script(rng, answer(key), masks=False)
    if rng.random() < 0.2:
        script.pieces = [(rng.choice(WRONG_ANSWERS), UNOPENED)]
        script.bytes = lambda: script.pieces[0][0]
    return script
