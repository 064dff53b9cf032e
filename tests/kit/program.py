#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""program.py DIR: threads, subprocesses, sockets and pipes that check one another; DIR/beat counts; on
SIGTERM DIR/result says OK or what is wrong."""
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time

top = sys.argv[1]
wrong = []
stop = threading.Event()
counts = {}


def say(name, text):
    with open(os.path.join(top, name + ".new"), "w") as f:
        f.write(text)
    os.rename(os.path.join(top, name + ".new"), os.path.join(top, name))


def check(name, step):
    """Run step(n) for n = 0, 1, ... until the end; whatever it raises is wrong."""
    def run():
        try:
            n = 0
            while not stop.is_set():
                step(n)
                n += 1
                counts[name] = n
                time.sleep(0.01)
        except Exception as e:
            wrong.append("%s: %r" % (name, e))
    t = threading.Thread(target=run, name=name)
    t.start()
    return t


def echo(sock):
    with sock:
        while True:
            data = sock.recv(4096)
            if not data:
                return
            sock.sendall(data)


def serve(listener):
    s = selectors.DefaultSelector()
    s.register(listener, selectors.EVENT_READ)
    while not stop.is_set():
        for _ in s.select(0.1):
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 7007))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
tcp = socket.create_connection(("127.0.0.1", 7007))
here, there = socket.socketpair()
threading.Thread(target=echo, args=(there,), daemon=True).start()
cat = subprocess.Popen(["/bin/busybox", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, lambda *a: os._exit(17))
    while True:
        time.sleep(1)
lock = threading.Lock()
total = [0]


def talk(sock):
    def step(n):
        data = b"%d " % n * 100
        sock.sendall(data)
        got = b""
        while len(got) < len(data):
            more = sock.recv(4096)
            if not more:
                raise EOFError("closed")
            got += more
        if got != data:
            raise ValueError("%r instead of %r" % (got[:20], data[:20]))
    return step


def pipe_step(n):
    cat.stdin.write(b"%d\n" % n)
    cat.stdin.flush()
    got = cat.stdout.readline()
    if got != b"%d\n" % n:
        raise ValueError("%r instead of %d" % (got, n))


def short_step(n):
    got = subprocess.run(["/bin/busybox", "echo", str(n)], stdout=subprocess.PIPE, check=True).stdout
    if got != b"%d\n" % n:
        raise ValueError("%r instead of %d" % (got, n))


def connect_step(n):
    with socket.create_connection(("127.0.0.1", 7007)) as s:
        talk(s)(n)


def sum_step(n):
    with lock:
        total[0] += 1


threads = [check("tcp", talk(tcp)), check("pair", talk(here)), check("pipe", pipe_step),
           check("short", short_step), check("connect", connect_step)]
threads += [check("sum%d" % i, sum_step) for i in range(4)]
signal.signal(signal.SIGTERM, lambda *a: stop.set())
big = bytearray(os.urandom(4096) * 4096)
digest = hash(bytes(big))
beat = 0
while not stop.is_set():
    beat += 1
    say("beat", str(beat))
    time.sleep(0.02)
for t in threads:
    t.join(10)
    if t.is_alive():
        wrong.append("%s: hangs" % t.name)
if total[0] != sum(counts["sum%d" % i] for i in range(4)):
    wrong.append("sums differ")
if hash(bytes(big)) != digest:
    wrong.append("memory differs")
os.kill(child, signal.SIGTERM)
if os.waitpid(child, 0)[1] != 17 << 8:
    wrong.append("child ended otherwise")
cat.stdin.close()
if cat.wait(10) != 0:
    wrong.append("cat ended otherwise")
say("result", "; ".join(wrong) or "OK")
