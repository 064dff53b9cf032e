#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench.py BUILD: medians of whole commands, as tables. Run it in a pid namespace under a reaper."""
import json
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


def limits(rounds):
    """What no program can beat: memory written into a new file; a file read into new memory."""
    out = []
    for _ in range(rounds + 1):
        r = subprocess.run([build + "/tests/kit/limits", "limits.tmp"], check=True, capture_output=True, text=True)
        out.append([float(v) for v in r.stdout.split()])
    names = ("write(2), 4K pages", "read(2), 4K pages", "write(2), huge pages", "read(2), huge pages")
    print("\n| limit, 1 GiB | ms |\n|---|---|")
    for name, times in zip(names, zip(*out)):
        row(name, [times])


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
limits(3)
