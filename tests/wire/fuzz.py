# SPDX-License-Identifier: Apache-2.0
"""fuzz.py SORT STASIS DIR SEED SECONDS: gives it broken input for that long. DIR/NAME/img are good images with root
directory DIR/NAME/root and options in DIR/NAME/options. SORT is one of
    images  restores of broken ones
    rpc     broken requests, to swrk and to a service
    archives  show, check and restore of archives made from DIR/good.tar, with DIR/b the bundle

Runs as root in pid, mount, net, ipc, uts and cgroup namespaces of its own, under an init that reaps. What is written
beyond the root directories is seen: / is an overlay whose upper layer stays empty. A restore may succeed, or fail with
one sentence; it must not crash, hang or leave a task, mount, cgroup or file behind. FUZZ_ONLY=N runs case N alone,
FUZZ_ON=1 goes on after a failure, FUZZ_TALK=1 prints every sentence."""
import copy
import ctypes
import io
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
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
            for pid in self.tasks():
                if self.is_child(pid):
                    continue
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if time.time() > end:
                raise Bad(f"tasks that do not end: {self.tasks()}")
            time.sleep(0.001)
        for d in sorted(self.directories(), reverse=True):
            os.rmdir(d)

    @staticmethod
    def is_child(pid):
        """ours, as a restore may ask for, and ended: then it is waited for"""
        try:
            return os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            return False

    def check(self, failed):
        end = time.time() + 20
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
    """broken images for a restore"""

    def __init__(self, stage, stasis, top):
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


class Rpc:
    """broken requests"""
    DUMP, RESTORE, NOTIFY, WAIT_PID = 1, 2, 6, 11

    def __init__(self, stage, stasis, top):
        self.stage, self.stasis, self.top = stage, stasis, top
        self.good = Images(stage, stasis, top)
        self.dir = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        self.address = f"{top}/sock"
        with open(f"{top}/service.out", "wb") as out:
            self.service = subprocess.Popen([stasis, "service", "--address", self.address, "-W", top],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        while not os.path.exists(self.address):
            time.sleep(0.01)
        stage.own.add(self.service.pid)

    def options(self, rng, kind):
        """of every sort, few at a time"""
        name = rng.choice(self.good.names)
        out = [[1, 0, self.dir], [9, 0, 4], [10, 2, b"log"], [17, 0, self.dir], [3, 0, 1], [45, 0, 2]]
        if kind == self.DUMP:
            victim = subprocess.run(["sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"],
                                    stdout=subprocess.PIPE, check=True).stdout
            out.append([2, 0, int(victim)])
        elif kind == self.RESTORE:
            self.good.images(name, None)
            self.good.fresh_root(name)
            out += [[1, 0, os.open(self.good.img, os.O_RDONLY)], [13, 2, self.good.root.encode()], [5, 0, 1], [8, 0, 1]]
        for _ in range(rng.randrange(4)):
            number = rng.choice([*range(2, 72), 1001, 1002])
            texts = [b"net[1]:k", b"mnt[/tmp]:m", b"fd[3]:x", b"/canary", b"1.2.3.4=5.6.7.8", b"-", b"cpu:/x", *mutate.TEXTS]
            pair = mutate.pack([[1, 2, rng.choice(texts)], [2, 2, rng.choice(texts)]])
            out.append(rng.choice(([number, 0, rng.choice(mutate.NUMBERS)], [number, 2, rng.choice(texts)],
                                   [number, 2, pair])))
        return mutate.pack(out)

    def request(self, rng):
        kind = rng.choice((self.DUMP, self.DUMP, self.RESTORE, *range(14)))
        req = [[1, 0, kind]]
        if kind != self.WAIT_PID: # it would wait for whatever there is
            req.append([2, 2, self.options(rng, kind)])
        if rng.random() < 0.2:
            req.append([rng.choice((3, 4, 5, 6)), 0, 1])
        data = mutate.pack(req)
        for _ in range(rng.choice((0, 1, 1, 2))):
            data = rng.choice((mutate.message, mutate.message, mutate.flip))(rng, data)
        return data[:200000] if rng.random() < 0.95 else data[:rng.randrange(len(data) + 1)]

    def talk(self, sock, rng, data):
        """every step is answered, at times wrongly; the last answer"""
        sock.settimeout(TIMEOUT)
        last = None
        try:
            sock.send(data)
            while True:
                got = sock.recv(1 << 20)
                if not got:
                    return last
                last = dict((n, v) for n, _, v in mutate.fields(got))
                if last[1] != self.NOTIFY:
                    return last
                ack = mutate.pack([[1, 0, self.NOTIFY], [3, 0, rng.random() < 0.9]])
                sock.send(ack if rng.random() < 0.97 else mutate.message(rng, ack))
        except socket.timeout:
            raise Bad("no answer") from None
        except ConnectionError:
            return last

    def swrk(self, rng, data):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with open(f"{self.top}/said", "w+b") as said:
            p = subprocess.Popen([self.stasis, "swrk", str(theirs.fileno())], pass_fds=[theirs.fileno()],
                                 stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            theirs.close()
            answer = self.talk(ours, rng, data)
            ours.close()
            try:
                status = p.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                raise Bad("swrk does not end") from None
            said.seek(0)
            said = said.read().decode(errors="replace")
        if status not in (0, 1, 255) or re.search("Sanitizer|runtime error", said):
            raise Bad(f"swrk: status {status}: {said}")
        return answer

    def run(self, rng):
        self.data = self.request(rng)
        if rng.random() < 0.5:
            answer = self.swrk(rng, self.data)
        else:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                sock.connect(self.address)
                answer = self.talk(sock, rng, self.data)
            said = read(f"{self.top}/service.out").decode(errors="replace")
            if self.service.poll() is not None or re.search("Sanitizer|runtime error", said):
                raise Bad(f"service: {said}")
        os.closerange(self.dir + 1, self.dir + 20)
        if not answer or answer.get(2):
            return None
        why = answer.get(9, b"").decode()
        if answer[1] in (self.DUMP, self.RESTORE) and (len(why) < 10 or not why.isprintable()):
            raise Bad(f"no sentence: {answer}")
        return why

    def what(self):
        return f"request {self.data[:300].hex()}"


class Archives:
    """broken archives"""
    NAMES = ["../canary", "/canary", "checkpoint/../../canary", "checkpoint", "checkpoint/x/y", "checkpoint/" + "a" * 300,
             "config.dump", "spec.dump", "rootfs-diff.tar", "deleted.files", "bind.mounts", "index.json", "oci-layout", "",
             "checkpoint/inventory.img", "checkpoint/\x1b[2J", "volumes/x.tar", "checkpoint/parent"]
    LINKS = ["../canary", "/canary", "/", "..", ".", "checkpoint/pstree.img", "../pre-checkpoint", "/dev/zero"]
    TYPES = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE,
             tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE]

    def __init__(self, stage, stasis, top):
        self.stasis, self.top, self.tmp = stasis, top, f"{top}/tmp"
        os.makedirs(self.tmp, exist_ok=True)
        with tarfile.open(f"{top}/good.tar") as good:
            self.good = [(m, good.extractfile(m).read() if m.isreg() else b"") for m in good]
        subprocess.run(["cp", "-a", f"{top}/b", f"{top}/b.good"], check=True)

    @staticmethod
    def json(rng, data):
        """other JSON, or nearly"""
        parts = re.split(rb'("(?:[^"\\\\]|\\\\.)*"|[\\[\\]{}:,]|[0-9]+)', data)
        for _ in range(rng.choice((1, 1, 2, 5))):
            i = rng.randrange(len(parts))
            parts[i] = rng.choice((b"", b"[" * 100000, b"{", b"null", b"-1", b"1e999", b"99999999999999999999", b'""', b'"/"',
                                   b'"../../canary"', b'"/canary"', b'"\\u0000"', b'"\\ud800"', parts[rng.randrange(len(parts))]))
        return b"".join(parts)

    def member(self, rng, m, data):
        m, what = copy.copy(m), rng.random()
        if what < 0.6 and m.isreg():
            data = (mutate.image if m.name.endswith(".img") else self.json if data[:1] in (b"{", b"[") else mutate.flip)(rng, data)
        elif what < 0.7:
            m.name = rng.choice(self.NAMES)
        elif what < 0.8:
            m.name, m.type, m.linkname = rng.choice((m.name, rng.choice(self.NAMES))), rng.choice(self.TYPES), rng.choice(self.LINKS)
        elif what < 0.85:
            data = rng.choice((b"", data * 2, b"\0" * (1 << 22)))
        elif what < 0.9:
            m.mode, m.uid = rng.choice((0, 0o7777, 0o4755)), rng.choice((0, -1, 1 << 40))
        m.size = len(data)
        return [] if what > 0.95 else [(m, data)] * (2 if what > 0.9 else 1)

    def archive(self, rng):
        if not rng:
            shutil.copy(f"{self.top}/good.tar", f"{self.top}/evil.tar")
            return
        members = list(self.good)
        self.broken = rng.sample(range(len(members)), rng.choice((0, 1, 1, 2, 5)))
        out, kind = io.BytesIO(), rng.choice(("", "", "gz", "xz", "bz2"))
        with tarfile.open(fileobj=out, mode=f"w:{kind}", format=rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))) as tar:
            for i, (m, data) in enumerate(members):
                for m, data in self.member(rng, m, data) if i in self.broken else [(m, data)]:
                    tar.addfile(m, io.BytesIO(data) if m.type not in self.TYPES[:6] else None)
        data = out.getvalue()
        for _ in range(rng.choice((0, 0, 0, 1, 4))):
            data = rng.choice((mutate.flip(rng, data), data[:rng.randrange(len(data))], self.header(rng, data)))
        with open(f"{self.top}/evil.tar", "wb") as f:
            f.write(data)

    @staticmethod
    def header(rng, data):
        """another number in a header of tar, with its sum mended"""
        at = rng.randrange(max(1, len(data) // 512)) * 512
        h = bytearray(data[at:at + 512])
        if len(h) < 512 or h[257:262] != b"ustar":
            return data
        field = rng.choice((100, 108, 116, 124, 136, 156, 329, 337))
        h[field:field + 8] = rng.choice((b"\x80" + b"\xff" * 7, b"7777777\0", b"\xff" * 8, b"-1\0\0\0\0\0\0", b"\0" * 8))
        h[148:156] = b" " * 8
        h[148:156] = b"%06o\0 " % sum(h)
        return data[:at] + bytes(h) + data[at + 512:]

    def run(self, rng):
        self.archive(rng)
        shutil.rmtree(f"{self.top}/b")
        subprocess.run(["cp", "-a", f"{self.top}/b.good", f"{self.top}/b"], check=True)
        restore = ["restore", "--bundle", f"{self.top}/b", "--import"]
        self.command = rng.choice((["check"], ["show"], ["show", "--json"], restore)) if rng else restore
        with open(f"{self.top}/said", "w+b") as said:
            p = subprocess.Popen([self.stasis, *self.command, f"{self.top}/evil.tar"], stdin=subprocess.DEVNULL,
                                 stdout=said, stderr=said, cwd=self.top,
                                 env={**os.environ, "TMPDIR": self.tmp, "HOME": self.tmp, "STASIS_RUNTIME_ROOT": f"{self.top}/state"})
            try:
                p.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                raise Bad("hangs") from None
            said.seek(0)
            said = said.read().decode(errors="replace")
        if p.returncode not in (0, 1) or re.search("Sanitizer|runtime error", said):
            raise Bad(f"status {p.returncode}: {said}")
        if not said.replace("\n", "").isprintable() or (p.returncode and not said.strip()):
            raise Bad(f"no sentence: {said!r}")
        if os.listdir(self.tmp):
            raise Bad(f"left in TMPDIR: {os.listdir(self.tmp)}")
        return said.splitlines()[-1] if p.returncode else None

    def what(self):
        return f"{self.command}, members {[self.good[i][0].name for i in self.broken]}"


def cases(stage, world, seed, seconds, check):
    start, n, sentences = time.time(), 0, {}
    only = os.environ.get("FUZZ_ONLY")
    while time.time() - start < seconds:
        case, n = only or n, n + 1
        try:
            sentence = world.run(random.Random(f"{seed}/{case}"))
            check(sentence is not None)
        except Bad as bad:
            print(f"seed {seed}, case {case}: {world.what()}: {bad}")
            if not os.environ.get("FUZZ_ON"):
                return 1
            sentence = "bad"
            stage.sweep()
            if not os.environ.get("FUZZ_ON"):
                return 1
            stage.sweep()
        sentences.setdefault(sentence and re.sub("[0-9]+", "N", sentence), []).append(case)
        if only:
            break
    print(f"seed {seed}: {n} cases, {len(sentences.get(None, []))} without failure, {len(sentences)} outcomes")
    if os.environ.get("FUZZ_TALK"):
        for s, which in sorted(sentences.items(), key=lambda kv: str(kv[0])):
            print(f"{len(which)} {which[0]} {s}")
    return 0


def images(stage, stasis, top, seed, seconds):
    world = Images(stage, stasis, top)
    stage.before = stage.state()
    for name in world.names:
        sentence = world.run(None, name)
        if sentence:
            raise Bad(f"{name}: good images: {sentence}")
        stage.check(False)
    return cases(stage, world, seed, seconds, stage.check)


def rpc(stage, stasis, top, seed, seconds):
    """files are written where the caller says: that is no failure"""
    return cases(stage, Rpc(stage, stasis, top), seed, seconds, lambda failed: stage.sweep())


def archives(stage, stasis, top, seed, seconds):
    world = Archives(stage, stasis, top)
    stage.before = stage.state()
    sentence = world.run(None)
    if sentence:
        raise Bad(f"the good archive: {sentence}")
    stage.check(False)
    return cases(stage, world, seed, seconds, stage.check)


def main(sort, stasis, top, seed, seconds):
    return {"images": images, "rpc": rpc, "archives": archives}[sort](Stage(top), stasis, top, seed, float(seconds))


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Bad as why:
        sys.exit(str(why))
