#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench.py BUILD: medians of whole commands, as tables. Run it in a pid namespace under a reaper."""
import ctypes
import json
import mmap
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

build = os.path.abspath(sys.argv[1])
stasis = build + "/stasis"
os.environ["PATH"] = build + ":" + os.environ["PATH"]
GIB = 1 << 30


def run(*args):
    t = time.monotonic()
    subprocess.run(args, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.monotonic() - t) * 1000


def until(gone):
    while not gone():
        time.sleep(0.001)


def frozen(img):
    out = subprocess.run(["crit", "decode", "-i", img + "/stats-dump"], check=True, capture_output=True)
    return json.loads(out.stdout)["entries"][0]["dump"]["frozen_time"] / 1000


def row(name, columns):
    print("| %s | %s |" % (name, " | ".join("%.1f" % statistics.median(c[1:]) for c in columns)), flush=True)


def process(name, args, rounds):
    dump, stopped, restore = [], [], []
    for _ in range(rounds + 1):  # the first warms up and is left out
        img = tempfile.mkdtemp(dir=".")
        p = subprocess.Popen([build + "/tests/kit/idle", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        p.stdout.readline()
        p.stdout.close()
        try:
            dump.append(run(stasis, "dump", "-t", str(p.pid), "-D", img))
            p.wait()
            stopped.append(frozen(img))
            restore.append(run(stasis, "restore", "-D", img, "-d"))
            os.kill(p.pid, 9)
            until(lambda: not os.path.exists("/proc/%d" % p.pid))
        finally:
            shutil.rmtree(img)
    row(name, (stopped, dump, restore))


def limits():
    """What any program needs at least: memory written into a new file; a file read into new memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    src = mmap.mmap(-1, GIB)
    for i in range(0, GIB, 4096):
        src[i:i + 8] = i.to_bytes(8, "little")
    write, read, huge = [], [], []
    for _ in range(4):
        path = tempfile.mktemp(dir=".")
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        t = time.monotonic()
        for at in range(0, GIB, 1 << 22):
            os.write(fd, memoryview(src)[at:at + (1 << 22)])
        write.append((time.monotonic() - t) * 1000)
        for advice, times in ((15, read), (14, huge)):  # MADV_NOHUGEPAGE, MADV_HUGEPAGE
            dst = mmap.mmap(-1, GIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            dst.madvise(advice)
            t = time.monotonic()
            at = 0
            while at < GIB:
                at += os.preadv(fd, [memoryview(dst)[at:at + (1 << 22)]], at)
            times.append((time.monotonic() - t) * 1000)
            dst.close()
        os.close(fd)
        os.unlink(path)
    print("\n| limit, 1 GiB | ms |\n|---|---|")
    row("write(2) into a new file", [write])
    row("read(2) into 4K pages", [read])
    row("read(2) into huge pages", [huge])


def container(rounds):
    top = tempfile.mkdtemp(dir=os.getcwd())
    os.makedirs(top + "/rootfs/bin")
    shutil.copy(shutil.which("busybox"), top + "/rootfs/bin/busybox")
    subprocess.run(["runc", "spec"], cwd=top, check=True)
    with open(top + "/config.json") as f:
        c = json.load(f)
    c["process"].update(args=["/bin/busybox", "sleep", "1000"], terminal=False)
    with open(top + "/config.json", "w") as f:
        json.dump(c, f)
    runc = ["runc", "--root", top + "/state"]
    dump, stopped, restore = [], [], []
    run(*runc, "run", "-d", "--bundle", top, "stasis-bench")
    for n in range(rounds + 1):
        img = "%s/img%d" % (top, n)
        dump.append(run(*runc, "checkpoint", "--image-path", img, "stasis-bench"))
        stopped.append(frozen(img))
        restore.append(run(*runc, "restore", "-d", "--bundle", top, "--image-path", img, "stasis-bench"))
    run(*runc, "delete", "-f", "stasis-bench")
    shutil.rmtree(top)
    row("busybox under runc", (stopped, dump, restore))


print("| what | stopped, ms | dump, ms | restore, ms |\n|---|---|---|---|")
process("small, static", [], 30)
container(20)
process("1 GiB private, 4K pages", ["1024"], 3)
process("1 GiB private, huge pages", ["1024", "thp"], 3)
limits()
