# Frames, and how a run ends before its time.
import json
import os
import select
import struct
import time

CHUNK = 65536
HEADER_BYTES_MAX = 65536
BODY_BYTES_MAX = 64 * 1024 * 1024


class Ended(BaseException):
    """The channel is closed. Not an Exception: no action catches it by mistake."""


class OutOfTime(BaseException):
    """The step's time is used up."""


class NoRoom(BaseException):
    """There is no place on this host where a file can be put."""


class BadPeer(BaseException):
    """The other side said what it must not."""


class CannotRun(Exception):
    """This step cannot be done here, for the reason given."""


class NoContent(Exception):
    """The other side cannot give a content that was asked for."""


class Wire:
    """Frames in and out. Reading also happens while a step runs, so what came is kept until it is asked for."""

    def __init__(self):
        self.input = os.dup(0)
        self.output = os.dup(1)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        self.buffer = bytearray()
        self.frames = []

    def send(self, kind, body=b"", **header):
        header["type"] = kind
        head = json.dumps(header).encode()
        data = memoryview(struct.pack(">II", len(head), len(body)) + head + body)
        try:
            while data:
                data = data[os.write(self.output, data):]
        except OSError:
            raise Ended()

    def fill(self):
        """Reads what is there; call it when there is something."""
        data = os.read(self.input, 16 * CHUNK)
        if not data:
            raise Ended()
        self.buffer += data
        while self._cut():
            pass

    def _cut(self):
        if len(self.buffer) < 8:
            return False
        head, body = struct.unpack_from(">II", self.buffer)
        if head > HEADER_BYTES_MAX or body > BODY_BYTES_MAX:
            raise BadPeer("a frame of %d and %d bytes" % (head, body))
        end = 8 + head + body
        if len(self.buffer) < end:
            return False
        try:
            header = json.loads(self.buffer[8:8 + head].decode())
            kind = header["type"]
        except (ValueError, KeyError, TypeError):
            raise BadPeer("a frame whose header cannot be read")
        self.frames.append((kind, header, bytes(self.buffer[8 + head:end])))
        del self.buffer[:end]
        return True

    def take(self, deadline):
        """The next frame. deadline: of time.monotonic(), or None."""
        while not self.frames:
            wait = None if deadline is None else deadline - time.monotonic()
            if wait is not None and wait <= 0:
                raise OutOfTime()
            if select.select([self.input], [], [], wait)[0]:
                self.fill()
        return self.frames.pop(0)
