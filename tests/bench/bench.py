#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench.py BUILD: medians of whole commands, as a table. Run it in a pid namespace under a reaper."""
import json, os, shutil, statistics, subprocess, sys, tempfile, time

build = os.path.abspath(sys.argv[1])
stasis = build + "/stasis"


def run(*args):
    t = time.monotonic()
    subprocess.run(args, check=True)
    return (time.monotonic() - t) * 1000


def frozen(img):
    out = subprocess.run(["crit", "decode", "-i", img + "/stats-dump"], check=True, capture_output=True)
    return json.loads(out.stdout)["entries"][0]["dump"]["frozen_time"] / 1000


def case(name, args, rounds):
    dump, stopped, restore = [], [], []
    for _ in range(rounds + 1):  # the first warms up and is left out
        img = tempfile.mkdtemp(dir=".")
        p = subprocess.Popen([build + "/tests/kit/idle", *args], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE)
        p.stdout.readline()
        p.stdout.close()
        try:
            dump.append(run(stasis, "dump", "-t", str(p.pid), "-D", img))
            p.wait()
            stopped.append(frozen(img))
            restore.append(run(stasis, "restore", "-D", img, "-d"))
            os.kill(p.pid, 9)
            while os.path.exists(f"/proc/{p.pid}"):
                time.sleep(0.001)
        finally:
            shutil.rmtree(img)
    m = [statistics.median(v[1:]) for v in (stopped, dump, restore)]
    print(f"| {name} | {m[0]:.1f} | {m[1]:.1f} | {m[2]:.1f} |", flush=True)


print("| process | stopped, ms | dump, ms | restore, ms |\n|---|---|---|---|")
case("small, static", [], 30)
case("1 GiB private, 4K pages", ["1024"], 3)
case("1 GiB private, huge pages", ["1024", "thp"], 3)
