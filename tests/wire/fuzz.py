# SPDX-License-Identifier: Apache-2.0
"""fuzz.py images STASIS DIR SEED SECONDS: restores broken images, made from the good ones in DIR/NAME/img with root
directory DIR/NAME/root and options in DIR/NAME/options, for that long.

Runs as root in pid, mount, net, ipc, uts and cgroup namespaces of its own, under an init that reaps. What is written
beyond the root directories is seen: / is an overlay whose upper layer stays empty. A restore may succeed, or fail with
one sentence; it must not crash, hang or leave a task, mount, cgroup or file behind. FUZZ_ONLY=N runs case N alone,
FUZZ_TALK=1 prints every sentence."""
import ctypes
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import mutate

libc = ctypes.CDLL(None, use_errno=True)
CANARY = "/canary"
TIMEOUT = 60  # a busy machine is no hang
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH, SYS_pivot_root = 4096, 16384, 1 << 18, 2, 155


class Bad(Exception):
    pass


def must(r):
    if r < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source, target, kind=None, flags=0, data=None):
    if libc.mount(*(x.encode() if x else None for x in (source, target, kind)), flags, data and data.encode()) < 0:
        raise OSError(ctypes.get_errno(), f"mount {kind} {data}", target)


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Stage:
    """the world around a restore, and whether it is as it was"""

    def __init__(self, keep):
        """keep: the directory that is no part of the overlay"""
        mount(None, "/", None, MS_REC | MS_PRIVATE)
        self.bare = os.path.join(keep, "stage")
        os.mkdir(self.bare)
        mount("stage", self.bare, "tmpfs")
        upper, work, top = (os.path.join(self.bare, d) for d in ("upper", "work", "top"))
        for d in (upper, work, top):
            os.mkdir(d)
        self.upper = os.open(upper, os.O_RDONLY | os.O_DIRECTORY)
        mount("stage", top, "overlay", 0, f"lowerdir=/,upperdir={upper},workdir={work}")
        mount("proc", top + "/proc", "proc")
        for d in ("/sys", "/dev", keep):
            mount(d, top + d, None, MS_BIND | MS_REC)
        self.cgroups = self.mount_cgroups(top + "/sys/fs/cgroup")
        os.chdir(top)
        must(libc.syscall(SYS_pivot_root, b".", b"."))
        must(libc.umount2(b".", MNT_DETACH))
        os.chdir("/")
        self.cgroups = [d[len(top):] for d in self.cgroups]
        self.own = {1, os.getpid(), os.getppid()}
        self.before = self.state()

    @staticmethod
    def mount_cgroups(top):
        """those of the own cgroup namespace over those of the host"""
        out = []
        mount("stage", top, "tmpfs")
        for line in read("/proc/self/mountinfo").decode().splitlines():
            left, right = line.split(" - ")
            where, (kind, _, opts) = left.split()[4], right.split()[:3]
            if kind in ("cgroup", "cgroup2") and where.startswith("/sys/fs/cgroup") and where.count("/") <= 4:
                data = ",".join(o for o in opts.split(",") if o not in ("rw", "ro")) if kind == "cgroup" else None
                out.append(top + where[len("/sys/fs/cgroup"):])
                os.makedirs(out[-1], exist_ok=True)
                mount("cgroup", out[-1], kind, 0, data)
        return out

    def tasks(self):
        return {int(p) for p in os.listdir("/proc") if p.isdigit()} - self.own

    def directories(self):
        return {d for top in self.cgroups for d, _, _ in os.walk(top)} - set(self.cgroups)

    def written(self):
        return [os.path.join(d, n) for d, subs, names in os.walk(f"/proc/self/fd/{self.upper}/") for n in names + subs]

    @staticmethod
    def state():
        """mounts, devices, names, what there is of System V IPC"""
        out = {n: read("/proc/" + n) for n in ("self/mountinfo", "sys/kernel/hostname", "sys/kernel/domainname",
                                               "sysvipc/shm", "sysvipc/msg", "sysvipc/sem", "sys/net/ipv4/ip_forward")}
        out["devices"] = [line.split(":")[0] for line in read("/proc/net/dev").decode().splitlines()]
        return out

    def sweep(self):
        """ends what was restored"""
        end = time.time() + 20
        while self.tasks():
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                pass
            if time.time() > end:
                raise Bad(f"tasks that do not end: {self.tasks()}")
            time.sleep(0.001)
        for d in sorted(self.directories(), reverse=True):
            os.rmdir(d)

    def check(self, failed):
        end = time.time() + 5
        while failed and self.tasks():
            if time.time() > end:
                left = [read(f"/proc/{p}/status").decode().split("\n")[0] for p in self.tasks()]
                raise Bad(f"tasks left behind: {left}")
            time.sleep(0.001)
        if failed and self.directories():
            raise Bad(f"cgroups left behind: {self.directories()}")
        self.sweep()
        if self.written():
            raise Bad(f"written outside: {self.written()}")
        now = self.state()
        for name, was in self.before.items():
            if now[name] != was:
                raise Bad(f"{name} was {was}, is {now[name]}")


def outcome(status, said):
    """the sentence of a failure, None of a success"""
    if re.search("Sanitizer|runtime error|core dumped", said):
        raise Bad(said)
    if status not in (0, 1):
        raise Bad(f"status {status}: {said}")
    errors = [line for line in said.splitlines() if line.startswith("Error")]
    if status == 1 and len(errors) != 1:
        raise Bad(f"{len(errors)} errors: {said}")
    if errors and (len(errors[0]) < 30 or not errors[0].isprintable() or ": " not in errors[0][17:] or "(null)" in said):
        raise Bad(f"no sentence: {said!r}")
    return errors[0] if status else None


class Images:
    def __init__(self, stasis, top):
        self.stasis = stasis
        self.names = sorted(n for n in os.listdir(top) if os.path.isdir(f"{top}/{n}/img"))
        self.top, self.img, self.root = top, f"{top}/stage-img", f"{top}/stage-root"
        os.mkdir(self.root)
        mount(self.root, self.root, None, MS_BIND)
        mount(None, self.root, None, MS_PRIVATE)

    def fresh_root(self, name):
        for n in os.listdir(self.root):
            path = f"{self.root}/{n}"
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        subprocess.run(["cp", "-a", f"{self.top}/{name}/root/.", self.root], check=True)

    def images(self, name, rng):
        """a directory of links to them; up to three of them broken"""
        good = f"{self.top}/{name}/img"
        shutil.rmtree(self.img, ignore_errors=True)
        os.mkdir(self.img)
        files = sorted(n for n in os.listdir(good) if n.endswith(".img"))
        for n in files:
            os.link(f"{good}/{n}", f"{self.img}/{n}")
        self.broken = rng.choices(files, [1 if n.startswith("pages-") else 4 for n in files],
                                  k=rng.choice((1, 1, 2, 3))) if rng else []
        for n in self.broken:
            data = read(f"{self.img}/{n}")
            os.unlink(f"{self.img}/{n}")
            if rng.random() < 0.01:
                continue
            if rng.random() < 0.01:
                os.link(f"{good}/{rng.choice(files)}", f"{self.img}/{n}")
                continue
            with open(f"{self.img}/{n}", "wb") as f:
                f.write(mutate.image(rng, data))

    def run(self, rng, name=None):
        name = name or rng.choice(self.names)
        self.images(name, rng)
        self.fresh_root(name)
        options = read(f"{self.top}/{name}/options").decode().split()
        with open(f"{self.top}/said", "w+b") as said:
            p = subprocess.Popen([self.stasis, "restore", "-d", "-D", self.img, "-W", self.top, "-o", "log", "-v4",
                                  "--root", self.root, *options],
                                 stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            try:
                p.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                raise Bad("hangs") from None
            said.seek(0)
            return outcome(p.returncode, said.read().decode(errors="replace"))

    def what(self):
        return f"images {self.broken}"


def cases(stage, world, seed, seconds):
    start, n, sentences = time.time(), 0, {}
    only = os.environ.get("FUZZ_ONLY")
    while time.time() - start < seconds:
        case, n = only or n, n + 1
        try:
            sentence = world.run(random.Random(f"{seed}/{case}"))
            stage.check(sentence is not None)
        except Bad as bad:
            print(f"seed {seed}, case {case}: {world.what()}: {bad}")
            if not os.environ.get("FUZZ_ON"):
                return 1
            stage.sweep()
        sentences.setdefault(sentence and re.sub("[0-9]+", "N", sentence), []).append(case)
        if only:
            break
    print(f"seed {seed}: {n} cases, {len(sentences.get(None, []))} restored, {len(sentences)} outcomes")
    if os.environ.get("FUZZ_TALK"):
        for s, which in sorted(sentences.items(), key=lambda kv: str(kv[0])):
            print(f"{len(which)} {which[0]} {s}")
    return 0


def images(stasis, top, seed, seconds):
    stage = Stage(top)
    world = Images(stasis, top)
    stage.before = stage.state()
    for name in world.names:
        sentence = world.run(None, name)
        if sentence:
            raise Bad(f"{name}: good images: {sentence}")
        stage.check(False)
    return cases(stage, world, seed, float(seconds))


if __name__ == "__main__":
    try:
        sys.exit({"images": images}[sys.argv[1]](*sys.argv[2:]))
    except Bad as why:
        sys.exit(str(why))
