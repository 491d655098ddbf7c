"""Loopback ports that lead into another network namespace, so that a test reaches throw-away hosts from its own process.

usage: python3 hosts_relay.py NETNS_FILE
One JSON request a line on standard input, one answer a line on standard output, in order; ends with its input.
  {"open": ADDRESS, "port": 0 | PORT, "delay_ms": MS} -> {"port": PORT}   each way late by MS, and so is a new connection
  {"close": PORT} -> {}                                                   refuses from now on; connections stay

R1. A host that refuses, resets or ends does the same to the client, as far as a port that has already accepted can.
"""

import asyncio
import ctypes
import json
import os
import random
import socket
import struct
import sys

CLONE_NEWNET = 0x40000000
# Below Linux's ephemeral range, so that no outgoing connection takes the port of a stopped host.
PORTS = range(20_000, 32_000)
TRIES_MAX = 200
SSH_PORT = 22
CHUNK_BYTES = 64 * 1024
QUEUE_CHUNKS_MAX = 256
BACKLOG = 128

libc = ctypes.CDLL(None, use_errno=True)


def tcp_socket():
    """Named as TCP, asyncio sends small pieces at once; else each exchange waits 44 ms for an acknowledgement."""
    return socket.socket(proto=socket.IPPROTO_TCP)


class Namespaces:
    """A socket stays in the namespace in which it was made, wherever its process goes."""

    def __init__(self, path):
        self.here = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.there = os.open(path, os.O_RDONLY)

    def socket_there(self):
        self._enter(self.there)
        try:
            return tcp_socket()
        finally:
            self._enter(self.here)

    def _enter(self, namespace):
        if libc.setns(namespace, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


class Relay:
    def __init__(self, namespaces):
        self.namespaces = namespaces
        self.servers = {}

    async def answer(self, request):
        if "close" in request:
            self.servers.pop(request["close"]).close()
            return {}
        listener = listen(request["port"])
        port = listener.getsockname()[1]
        address, delay = request["open"], request["delay_ms"] / 1000
        self.servers[port] = await asyncio.start_server(lambda *client: self.connect(client, address, delay), sock=listener)
        return {"port": port}

    async def connect(self, client, address, delay):
        connections = [client]
        try:
            await asyncio.sleep(2 * delay)
            there = self.namespaces.socket_there()
            there.setblocking(False)
            await asyncio.get_running_loop().sock_connect(there, (address, SSH_PORT))
            host = await asyncio.open_connection(sock=there)
            connections.append(host)
            await both(pump(client[0], host[1], delay), pump(host[0], client[1], delay))
        except OSError:
            for _, writer in connections:
                reset(writer)
        finally:
            for _, writer in connections:
                writer.close()


async def both(*works):
    """Ends when both have, or with the first error."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def pump(reader, writer, delay):
    """Copies until the end of `reader`, which `writer` passes on; each piece `delay` late. OSError: either broke."""
    if delay == 0:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
        return
    late = asyncio.Queue(QUEUE_CHUNKS_MAX)
    await both(hold(reader, late, delay), release(late, writer))


async def hold(reader, late, delay):
    now = asyncio.get_running_loop().time
    while data := await reader.read(CHUNK_BYTES):
        await late.put((now() + delay, data))
    await late.put((now() + delay, None))


async def release(late, writer):
    now = asyncio.get_running_loop().time
    while True:
        due, data = await late.get()
        await asyncio.sleep(due - now())
        if data is None:
            writer.write_eof()
            return
        writer.write(data)
        await writer.drain()


def listen(port):
    for _ in range(TRIES_MAX):
        listener = tcp_socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port or random.choice(PORTS)))
            listener.listen(BACKLOG)
            return listener
        except OSError:
            listener.close()
            if port:
                raise
    raise OSError("no free port")


def reset(writer):
    """The other side reads "connection reset"."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def main(path):
    loop = asyncio.get_running_loop()
    requests = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    relay = Relay(Namespaces(path))
    while line := await requests.readline():
        try:
            answer = await relay.answer(json.loads(line))
        except (OSError, KeyError, ValueError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
