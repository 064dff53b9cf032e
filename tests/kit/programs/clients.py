#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clients.py serve PORT | http|lines PORT N FILE | pubsub PORT FILE: talkers that judge every answer.

FILE holds a number that grows with the answers; FILE.wrong appears with the first wrong one.
serve: an asyncio server that answers a line with its length, the line and a count per connection.
"""
import asyncio
import os
import socket
import sys
import threading
import time

verb, port = sys.argv[1], int(sys.argv[2])


def note(path, text):
    with open(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)


def wrong(text):
    note(sys.argv[-1] + ".wrong", text)
    os._exit(1)


async def serve_one(reader, writer):
    count = 0
    while line := await reader.readline():
        count += 1
        await asyncio.sleep(0.001 * (count % 5))
        writer.write(b"%d %d " % (len(line), count) + line)
        await writer.drain()
    writer.close()


async def serve():
    server = await asyncio.start_server(serve_one, "127.0.0.1", port, backlog=500)
    await server.serve_forever()


async def web_http(n, path, total):
    """one keep-alive connection; the file's content follows from its name; FILE.reload: it may be closed between answers"""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(b"GET /f%d HTTP/1.1\r\nHost: x\r\n\r\n" % n)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError) as e:
            if getattr(e, "partial", b"") or not os.path.exists(path + ".reload"):
                raise
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            continue
        size = int(head.lower().split(b"content-length:")[1].split()[0])
        body = await reader.readexactly(size)
        if b" 200 " not in head or body != b"%d\n" % n * 2000:
            wrong("connection %d: %r" % (n, head))
        total[n] += 1
        await asyncio.sleep(0.005)


async def web_lines(n, path, total):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        line = b"%d-" % n * (n % 700 + 1) + b"\n"
        writer.write(line)
        got = await reader.readline()
        total[n] += 1
        if got != b"%d %d " % (len(line), total[n]) + line:
            wrong("connection %d: %r for %r" % (n, got, line))


async def web(one, n, path):
    total = [0] * n
    tasks = [asyncio.create_task(one(i, path, total)) for i in range(n)]
    while True:
        done, _ = await asyncio.wait(tasks, timeout=0.05)
        for t in done:
            wrong("a connection ended: %r" % t.exception())
        note(path, str(min(total)))  # the slowest one: all go on


def command(f, *words):
    f.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
    f.flush()


def pubsub(path):
    def reader(channel, got):
        f = socket.create_connection(("127.0.0.1", port)).makefile("rwb")
        command(f, b"SUBSCRIBE", channel)
        for _ in range(6):
            f.readline()
        got[channel] = 0
        while True:
            lines = [f.readline() for _ in range(7)]
            if lines[6] != b"message %d\r\n" % got[channel]:
                wrong("%r: %r after %d" % (channel, lines, got[channel]))
            got[channel] += 1

    got = {}
    channels = [b"c%d" % i for i in range(10)]
    for c in channels:
        threading.Thread(target=reader, args=(c, got), daemon=True).start()
    while len(got) < 10:
        time.sleep(0.01)
    f = socket.create_connection(("127.0.0.1", port)).makefile("rwb")
    n = 0
    while True:
        for c in channels:
            command(f, b"PUBLISH", c, b"message %d" % n)
            if f.readline() != b":1\r\n":
                wrong("nobody, or too many, listened to %r" % c)
        n += 1
        if n % 10 == 0:
            note(path, str(min(got.values())))
            time.sleep(0.005)


try:
    if verb == "serve":
        asyncio.run(serve())
    elif verb == "http":
        asyncio.run(web(web_http, int(sys.argv[3]), sys.argv[4]))
    elif verb == "lines":
        asyncio.run(web(web_lines, int(sys.argv[3]), sys.argv[4]))
    else:
        pubsub(sys.argv[3])
except Exception as e:
    wrong(repr(e))
