#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keys.py fill|check PORT COUNT SIZE: keys of a redis server whose values follow from their number."""
import hashlib
import socket
import sys

verb, port, count, size = sys.argv[1], *map(int, sys.argv[2:])
f = socket.create_connection(("127.0.0.1", port)).makefile("rwb")


def value(i):
    h = hashlib.sha256(str(i).encode()).hexdigest().encode()
    return (h * (size // len(h) + 1))[:size]


def command(*words):
    f.write(b"*%d\r\n" % len(words))
    for w in words:
        f.write(b"$%d\r\n%s\r\n" % (len(w), w))


def reply():
    line = f.readline()
    if line[:1] != b"$":
        return line.strip()
    n = int(line[1:])
    return f.read(n + 2)[:-2] if n >= 0 else None


BATCH = 500
for first in range(0, count, BATCH):
    some = range(first, min(first + BATCH, count))
    for i in some:
        if verb == "fill":
            command(b"SET", b"key:%d" % i, value(i))
        else:
            command(b"GET", b"key:%d" % i)
    f.flush()
    for i in some:
        got, want = reply(), b"+OK" if verb == "fill" else value(i)
        if got != want:
            sys.exit("key %d: %.60r instead of %.60r" % (i, got, want))
command(b"DBSIZE")
f.flush()
got = reply()
if got != b":%d" % count:
    sys.exit("%r keys instead of %d" % (got, count))
