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
    medians = (statistics.median(c[1:]) for c in columns)
    print("| %s | %s |" % (name, " | ".join(("%.2f" if m < 2 else "%.1f") % m if m else "" for m in medians)), flush=True)


def process(name, args, rounds, also=lambda: None):
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
        also()
    row(name, (stopped, dump, restore))
    return dump, restore


def gigabyte(name, args, rounds):
    """A row of 1 GiB, then what no program can beat, measured in turns with it, and the ratios."""
    limits = []

    def limit():
        r = subprocess.run([build + "/tests/kit/limits", "limits.tmp", *args], check=True, capture_output=True, text=True)
        limits.append([float(v) for v in r.stdout.split()])

    ours = process(name, ["1024", *args], rounds, limit)
    theirs = list(zip(*limits))
    row("limit: write(2), read(2)", [[0, 0], *theirs])
    row("ratio to the limit", [[0, 0]] + [[statistics.median(a[1:]) / statistics.median(b[1:])] * 2 for a, b in zip(ours, theirs)])


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


if not os.path.exists(build + "/criu"):
    os.symlink("stasis", build + "/criu")  # runc looks for it in PATH
print("| what | stopped, ms | dump, ms | restore, ms |\n|---|---|---|---|")
process("small, static", [], 30)
container(20)
gigabyte("1 GiB private, 4K pages", [], 7)
gigabyte("1 GiB private, huge pages", ["thp"], 7)
