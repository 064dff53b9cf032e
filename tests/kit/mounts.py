#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mounts: random mount trees over several mount namespaces, dumped, restored and compared.

Usage: mounts.py BUILD DIR [SEED...]        environment: SECONDS_MAX (20), SEED (the first), SEEDS (a number instead of seconds)
       mounts.py BUILD DIR case NAME    what becomes of it: "kept", or what is said instead
       mounts.py BUILD DIR many NUMBER bind|tmpfs    one tree with many mounts, and how long it takes
Each seed is one tree; a failure prints it, and `mounts.py BUILD DIR SEED` repeats it. What is compared: the
mountinfo of each namespace up to ids, names and contents of each mount, hidden ones too, and which mounts of
which namespaces show the same file system.
"""
import ctypes, hashlib, os, random, shutil, signal, stat, subprocess, sys, time, traceback

libc = ctypes.CDLL(None, use_errno=True)
NEWNS = 0x20000
RDONLY, NOSUID, NODEV, NOEXEC, NOATIME, NODIRATIME, NOSYMFOLLOW = 1, 2, 4, 8, 0x400, 0x800, 0x100
STRICTATIME, RELATIME, REMOUNT, BIND, MOVE, REC = 1 << 24, 1 << 21, 32, 4096, 8192, 16384
KINDS = {"unbindable": 1 << 17, "private": 1 << 18, "slave": 1 << 19, "shared": 1 << 20}
MOUNTS_MAX = 60
NAMES = "abc"


def call(r):
    if r < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return r


def mount(src, to, fs, flags, data=None):
    enc = lambda x: x.encode() if x is not None else None
    call(libc.mount(enc(src), enc(to), enc(fs), ctypes.c_ulong(flags), enc(data)))


def umount(path):
    call(libc.umount2(path.encode(), 2 | 8))


def mountinfo(text):
    """[{id, parent, dev, root, at, flags, groups, fs, source, sb}], parents before children"""
    rows = []
    for line in text.splitlines():
        left, right = line.split(" - ", 1)
        w, x = left.split(" "), right.split(" ")
        rows.append(dict(id=int(w[0]), parent=int(w[1]), dev=w[2], root=w[3], at=w[4],
                         flags=w[5], groups=[g for g in w[6:] if g and not g.startswith("propagate_from")],
                         fs=x[0], source=x[1], sb=x[2]))
    by = {r["id"]: r for r in rows}
    kids = {}
    for r in rows:
        kids.setdefault(r["parent"] if r["parent"] in by and r["parent"] != r["id"] else None, []).append(r)
    out = []

    def walk(r, key):
        r["key"] = key + (r["at"],)
        out.append(r)
        for c in sorted(kids.get(r["id"], []), key=lambda c: c["at"]):
            walk(c, r["key"])
    for r in kids[None]:
        walk(r, ())
    return out, by


def canonical(infos):
    """mountinfo of all namespaces as text without ids"""
    numbers, count, out = {}, {}, []
    number = lambda kind, x: numbers.setdefault((kind, x), count.setdefault(kind, []).append(x) or len(count[kind]) - 1) if (kind, x) not in numbers else numbers[kind, x]
    for i, text in enumerate(infos):
        for r in mountinfo(text)[0]:
            groups = ["%s:%d" % (g.split(":")[0], number("group", g.split(":")[1])) if ":" in g else g
                      for g in r["groups"]]
            sb = ",".join(o for o in r["sb"].split(",") if o != "inode64")
            out.append("ns%d %s dev%d %s %s %s %s %s %s" % (i, " > ".join(r["key"]), number("dev", r["dev"]), r["root"],
                       r["flags"], " ".join(groups), r["fs"], r["source"], sb))
    return out


# ---- contents: a child in a copy of the namespace peels one mount after the other ----

def listing(top):
    out = []
    todo = [top]
    while todo:
        p = todo.pop()
        st = os.lstat(p)
        line = "%r %o %d:%d %d %d" % (p[len(top):], st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_rdev)
        line += " %d" % st.st_mtime_ns if RAM and not p.endswith("/work") else ""
        line += "".join(" %s=%s" % (x, os.getxattr(p, x, follow_symlinks=False).hex())
                        for x in sorted(os.listxattr(p, follow_symlinks=False))) if RAM else ""
        if stat.S_ISREG(st.st_mode):
            line += " %d" % (st.st_blocks // 256) if RAM else ""  # holes stay holes
            with open(p, "rb") as f:
                line += " " + hashlib.md5(f.read(1 << 20) if st.st_size < 1 << 20 else b"%d" % st.st_size).hexdigest()
        elif stat.S_ISLNK(st.st_mode):
            line += " " + os.readlink(p)
        elif stat.S_ISDIR(st.st_mode):
            todo += [os.path.join(p, n) for n in os.listdir(p)]
        out.append(line)
    return sorted(out)


def mnt_of(path):
    try:
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return -1  # below a mount that hides it
    try:
        with open("%d" % fd, opener=lambda p, f: os.open(p, os.O_RDONLY, dir_fd=FDINFO)) as f:
            for line in f:
                if line.startswith("mnt_id:"):
                    return int(line.split()[1])
    finally:
        os.close(fd)


def peel(proc, out):
    global FDINFO, RAM
    me = os.open("/proc/self", os.O_RDONLY)
    FDINFO = os.open("/proc/self/fdinfo", os.O_RDONLY)
    ns = os.open(proc + "/ns/mnt", os.O_RDONLY)
    call(libc.setns(ns, NEWNS))
    call(libc.unshare(NEWNS))
    mount(None, "/", None, REC | KINDS["private"])
    with open("mountinfo", opener=lambda p, f: os.open(p, f, dir_fd=me)) as f:
        rows, by = mountinfo(f.read())
    left = {r["id"]: r for r in rows}
    progress = True
    while progress:
        progress = False
        for r in reversed(rows):
            if r["id"] not in left or any(x["parent"] == r["id"] for x in left.values() if x is not r):
                continue
            if mnt_of(r["at"]) != r["id"]:
                continue
            if r["fs"] in ("tmpfs", "ramfs", "ext4", "overlay", "hugetlbfs"):
                RAM = r["fs"] in ("tmpfs", "ramfs")
                out.write("%s: %s\n" % (" > ".join(r["key"]), "; ".join(listing(r["at"]))))
            del left[r["id"]]
            progress = True
            if len(r["key"]) > 1:
                umount(r["at"])
    for r in left.values():
        out.write("%s: unreachable\n" % " > ".join(r["key"]))
    out.flush()


def contents(pids, path):
    for pid in pids:
        child = os.fork()
        if child == 0:
            try:
                with open(path, "a") as out:
                    out.write("pid\n")
                    peel("/proc/%d" % pid, out)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        if os.waitpid(child, 0)[1]:
            raise RuntimeError("contents of %d cannot be read" % pid)
    with open(path) as f:
        return sorted(f.read().splitlines())


# ---- the tree ----

def fill(rnd, top, depth=0):
    """the same names everywhere, other contents"""
    with open(top + "/f", "w") as f:
        f.write("%032x" % rnd.getrandbits(128))
    if depth < 2:
        for n in NAMES:
            if rnd.random() < (0.9 if depth == 0 else 0.5):
                os.mkdir(top + "/" + n)
                fill(rnd, top + "/" + n, depth + 1)


class Maker:
    """runs in the root task; goes through its namespaces with setns()"""

    def __init__(self, seed):
        self.rnd, self.log = random.Random(seed), []
        self.proc = os.open("/proc", os.O_RDONLY)
        self.ns, self.kids = [], []

    def at(self, path):
        return os.open(path, os.O_RDONLY, dir_fd=self.proc)

    def mounts(self):
        with open("self/mountinfo", opener=lambda p, f: os.open(p, f, dir_fd=self.proc)) as f:
            return [l.split(" ")[4] for l in f]

    def enter(self, k):
        """with the root that its task has, below what is mounted on it"""
        call(libc.setns(self.ns[k][0], NEWNS))
        os.fchdir(self.ns[k][1])
        os.chroot(".")

    def total(self):
        n = 0
        for k in range(len(self.ns)):
            self.enter(k)
            n += len(self.mounts())
        return n

    def dir(self):
        for _ in range(200):
            p = "/" + "/".join(self.rnd.choice(NAMES) for _ in range(self.rnd.choice((1, 1, 1, 2, 2, 3))))
            if os.path.isdir(p):
                return p
        raise OSError(2, "no directory is to be seen any more")

    def mountpoint(self):
        return self.rnd.choice([m for m in self.mounts()])

    def step(self):
        rnd = self.rnd
        k = rnd.randrange(len(self.ns))
        self.enter(k)
        what = rnd.choice(("tmpfs", "tmpfs", "tmpfs", "bind", "bind", "bind", "rbind", "file", "move", "kind", "kind", "kind",
                           "flags", "flags", "umount", "ns", "proc", "ramfs", "again", "sub", "split"))
        if what in ("tmpfs", "ramfs"):
            to = self.dir()
            self.log.append((k, what, to))
            mount("t%d" % len(self.log), to, what, rnd.choice((0, 0, NOSUID | NODEV)),
                  rnd.choice((None, "size=1m", "mode=700", "nr_inodes=1000")) if what == "tmpfs" else None)
            fill(rnd, to)
            if what == "tmpfs" and rnd.random() < 0.2:
                mount(None, to, None, REMOUNT | RDONLY)
        elif what in ("bind", "rbind"):
            src, to = self.dir(), self.dir()
            self.log.append((k, what, src, to))
            mount(src, to, None, BIND | (REC if what == "rbind" else 0))
        elif what == "file":
            src, to = self.dir() + "/f", self.dir() + "/f"
            self.log.append((k, what, src, to))
            mount(src, to, None, BIND)
        elif what == "again":  # overmounted by itself
            to = self.mountpoint()
            self.log.append((k, what, to))
            mount(to, to, None, BIND)
        elif what == "sub":  # a directory of a tmpfs whose root goes away
            a, to = self.dir(), self.dir()
            self.log.append((k, what, a, to))
            mount("sub", a, "tmpfs", 0)
            fill(rnd, a)
            mount(a + "/" + rnd.choice(("f", "a", "b")), to + rnd.choice(("", "/f")), None, BIND)
            umount(a)
        elif what == "split":  # a group whose members show nothing in common
            a, to = self.dir(), [self.dir() for _ in range(3)]
            self.log.append((k, what, a, *to))
            mount("split", a, "tmpfs", 0)
            fill(rnd, a)
            mount(None, a, None, KINDS["shared"])
            for n, d in zip(("/f", "/a", "/b"), to):
                mount(a + n, d + ("/f" if n == "/f" else ""), None, BIND)
            if rnd.random() < 0.5:
                mount(None, to[2], None, KINDS["slave"])
            umount(a)
        elif what == "move":
            src, to = self.mountpoint(), self.dir()
            self.log.append((k, what, src, to))
            mount(src, to, None, MOVE)
        elif what == "kind":
            to, name = self.mountpoint(), rnd.choice(("shared", "shared", "shared", "slave", "slave", "private", "unbindable"))
            rec = rnd.choice((0, 0, REC))
            self.log.append((k, name, to, rec))
            mount(None, to, None, KINDS[name] | rec)
        elif what == "flags":
            to, fl = self.mountpoint(), rnd.choice((0, RELATIME, NOATIME, STRICTATIME, NODIRATIME))
            for f in (RDONLY, NOSUID, NODEV, NOEXEC if to != "/" else 0, NOSYMFOLLOW):
                fl |= rnd.choice((0, 0, f))
            self.log.append((k, what, to, hex(fl)))
            mount(None, to, None, REMOUNT | BIND | fl)
        elif what == "umount":
            to = self.mountpoint()
            self.log.append((k, what, to))
            if to != "/":
                umount(to)
        elif what == "proc":
            to = self.dir()
            self.log.append((k, what, to))
            mount("proc", to, "proc", 0)
        elif what == "ns" and len(self.ns) < 3:
            self.log.append((k, "ns %d" % len(self.ns)))
            self.child()

    def child(self):
        up, down = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            call(libc.unshare(NEWNS))
            os.write(up[1], b"x")
            os.read(down[0], 1)
            sleep()
        os.read(up[0], 1)
        self.ns.append((self.at("%d/ns/mnt" % pid), self.at("%d/root" % pid)))
        self.kids.append((pid, down[1]))

    def many(self, n, kind):
        """n mounts below a shared tmpfs: of its directories, or file systems of their own"""
        mount("many", "/a", "tmpfs", 0)
        mount(None, "/a", None, KINDS["shared"])
        for i in range(n):
            to = "/a/%d" % i
            os.mkdir(to)
            if kind == "tmpfs":
                mount("m%d" % i, to, "tmpfs", 0, "size=4k")
            else:
                mount(to, to, None, BIND)

    # ---- one thing each; the docstring is what a refusal says ----

    def case_overlay(self):
        for d in "/b/up", "/b/work":
            os.mkdir(d)
        mount("overlay", "/c", "overlay", 0, "lowerdir=/a,upperdir=/b/up,workdir=/b/work")
        open("/c/new", "w").write("x")

    def case_overlay_tmpfs(self):
        mount("t", "/b", "tmpfs", 0)
        for d in "/b/up", "/b/work", "/b/low":
            os.mkdir(d)
        open("/b/low/one", "w").write("1")
        mount("overlay", "/c", "overlay", 0, "lowerdir=/b/low,upperdir=/b/up,workdir=/b/work")
        open("/c/new", "w").write("x")
        open("/c/one", "w").write("x")

    def case_overlay_nested(self):  # mounted by its side, before its layer in the order of superblocks
        mount("t", "/b", "tmpfs", 0)
        for d in "/b/low", "/b/up", "/b/work", "/b/2", "/b/2/up", "/b/2/work", "/b/m", "/b/top":
            os.mkdir(d)
        open("/b/low/one", "w").write("1")
        mount("inner", "/b/m", "overlay", 0, "lowerdir=/b/low,upperdir=/b/up,workdir=/b/work")
        open("/b/m/two", "w").write("2")
        mount("outer", "/b/top", "overlay", 0, "lowerdir=/b/m,upperdir=/b/2/up,workdir=/b/2/work")
        open("/b/top/three", "w").write("3")
        # again, so that the layer is listed last
        mount("/b/m", "/a", None, BIND)
        umount("/b/m")
        mount("/a", "/b/m", None, BIND)
        umount("/a")

    def case_overlay_covered(self):  # the later mount has other directories of the same names
        for i in "12":
            mount("t" + i, "/b", "tmpfs", 0)
            for d in "/b/low", "/b/up", "/b/work":
                os.mkdir(d)
            open("/b/low/one", "w").write(i)
            if i == "1":
                mount("overlay", "/c", "overlay", 0, "lowerdir=/b/low,upperdir=/b/up,workdir=/b/work")
                open("/c/new", "w").write("x")

    def case_overlay_covered_empty(self):  # the later mount has nothing of that name; nor is there a place for the overlay
        mount("t", "/a", "tmpfs", 0)
        mount("t", "/b", "tmpfs", 0)
        os.mkdir("/b/low")
        os.mkdir("/a/m")
        open("/b/low/one", "w").write("1")
        mount("overlay", "/a/m", "overlay", 0, "lowerdir=/b/low:/c")
        mount("u", "/b/low", "tmpfs", 0)
        mount("v", "/b", "tmpfs", 0)

    def case_overlay_itself(self):  # over its own layer
        mount("t", "/b", "tmpfs", 0)
        for d in "/b/up", "/b/work":
            os.mkdir(d)
        open("/a/one", "w").write("1")
        mount("overlay", "/a", "overlay", 0, "lowerdir=/a,upperdir=/b/up,workdir=/b/work")
        open("/a/new", "w").write("x")
        mount("v", "/b", "tmpfs", 0)

    def case_overlay_lower_deleted(self):
        os.mkdir("/b/low")
        os.mkdir("/b/low2")
        mount("overlay", "/c", "overlay", 0, "lowerdir=/b/low:/b/low2")
        os.rmdir("/b/low")

    def case_hugetlbfs(self):
        mount("h", "/a", "hugetlbfs", 0, "mode=700")

    def case_hugetlbfs_file(self):
        mount("h", "/a", "hugetlbfs", 0)
        open("/a/x", "w").close()

    def case_proc(self):
        mount("p", "/a", "proc", 0, "hidepid=invisible,subset=pid")
        mount("q", "/b", "proc", 0, "hidepid=2,gid=7")

    def case_binfmt(self):
        mount("b", "/a", "binfmt_misc", 0)

    def case_kernel(self):
        for fs, to in ("debugfs", "/a"), ("tracefs", "/b"), ("securityfs", "/c"):
            mount(fs, to, fs, 0)

    def case_bpf(self):
        mount("b", "/a", "bpf", 0, "mode=700")

    def case_bpf_dir(self):
        mount("b", "/a", "bpf", 0)
        os.mkdir("/a/x")

    def case_devpts(self):
        mount("d", "/a", "devpts", 0, "newinstance,ptmxmode=666,mode=620,gid=5")

    def case_mqueue(self):
        mount("m", "/a", "mqueue", 0)

    def gone(self, path):
        """of whole microseconds: what images keep"""
        os.utime(path, ns=(10 ** 18, 10 ** 18 + 5000))
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)

    def case_deleted_dir(self):
        os.mkdir("/a/gone", 0o700)
        os.chown("/a/gone", 12, 34)
        mount("/a/gone", "/b", None, BIND)
        mount("/b", "/c", None, BIND)
        mount(None, "/c", None, REMOUNT | BIND | RDONLY)
        self.gone("/a/gone")

    def case_deleted_file(self):
        """of one name, one after the other"""
        for n in "c/one", "c/two", "b/f":
            open("/" + n, "w").close()
        for n in "b/f", "c/one", "c/two":
            open("/a/gone", "w").write("hello" + n)
            mount("/a/gone", "/" + n, None, BIND)
            self.gone("/a/gone")

    def case_deleted_big(self):
        open("/a/gone", "w").write("x" * 900000)
        mount("/a/gone", "/b/f", None, BIND)
        self.gone("/a/gone")

    def case_deleted_tmpfs(self):
        """in a mount that is read-only by then"""
        open("/c/f", "w").close()
        mount("t", "/a", "tmpfs", 0)
        os.makedirs("/a/up/gone")
        os.mkdir("/a/d")
        open("/a/up/file", "w").write("file")
        open("/a/d/gone", "w").write("other")
        open("/a/x", "w").write("x")
        mount("/a/up/gone", "/b", None, BIND)
        mount("/a/up/file", "/c/f", None, BIND)
        mount("/a/d/gone", "/a/x", None, BIND)
        for n in "up/gone", "up/file", "d/gone":
            self.gone("/a/" + n)
        mount(None, "/a", None, REMOUNT | BIND | RDONLY)

    def case_deleted_up(self):
        """its directory is gone as well"""
        os.makedirs("/a/up/gone")
        mount("/a/up/gone", "/b", None, BIND)
        os.rmdir("/a/up/gone")
        os.rmdir("/a/up")

    def case_deleted_alone(self):
        """of a tmpfs that is mounted nowhere any more"""
        mount("t", "/a", "tmpfs", 0)
        open("/a/gone", "w").write("hello")
        mount("/a/gone", "/b/f", None, BIND)
        self.gone("/a/gone")
        umount("/a")

    def case_deleted_shared(self):
        """by two mounts of a group, and in another namespace"""
        os.mkdir("/a/gone")
        mount("/a/gone", "/b", None, BIND)
        mount(None, "/b", None, KINDS["shared"])
        mount("/b", "/c", None, BIND)
        self.child()
        self.gone("/a/gone")
        os.write(self.kids[0][1], b"x")

    def case_deleted_linked(self):
        open("/a/gone", "w").close()
        os.link("/a/gone", "/a/here")
        mount("/a/gone", "/b/f", None, BIND)
        os.unlink("/a/gone")

    def case_deleted_hidden(self):
        os.makedirs("/b/x")
        os.mkdir("/a/gone")
        mount("/a/gone", "/b/x", None, BIND)
        os.rmdir("/a/gone")
        mount("t", "/b", "tmpfs", 0)

    def case_deleted_socket(self):
        os.mknod("/a/gone", 0o600 | stat.S_IFSOCK)
        mount("/a/gone", "/b/f", None, BIND)
        os.unlink("/a/gone")

    def case_autofs(self):
        r, w = os.pipe()
        os.dup2(w, 40)
        mount("a", "/a", "autofs", 0, "fd=40,pgrp=%d,minproto=5,maxproto=5,direct" % os.getpgrp())

    def case_fuse(self):
        os.mknod("/b/fuse", 0o600 | stat.S_IFCHR, os.makedev(10, 229))
        fd = os.open("/b/fuse", os.O_RDWR)
        os.dup2(fd, 41)
        mount("lxcfs", "/a", "fuse.lxcfs", 0, "fd=41,rootmode=40000,user_id=0,group_id=0")

    def case_detached_file(self):
        open("/a/f", "w").close()
        fd = call(libc.syscall(428, -100, b"/a/f", 1))  # open_tree(OPEN_TREE_CLONE)
        os.dup2(fd, 100)

    def idmap(self, source, to, ids):
        up, down = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            call(libc.unshare(0x10000000))
            os.write(up[1], b"x")
            os.read(down[0], 1)
            os._exit(0)
        os.read(up[0], 1)
        for f in "uid_map", "gid_map":
            fd = os.open("%d/%s" % (pid, f), os.O_WRONLY, dir_fd=self.proc)
            os.write(fd, ids)
            os.close(fd)
        ns = self.at("%d/ns/user" % pid)
        tree = call(libc.syscall(428, -100, source, 1))
        attr = (ctypes.c_uint64 * 4)(0x100000, 0, 0, ns)
        call(libc.syscall(442, tree, b"", 0x1000, attr, 32))
        call(libc.syscall(429, tree, b"", -100, to, 4))
        os.write(down[1], b"x")
        os.waitpid(pid, 0)
        for fd in ns, tree, *up, *down:
            os.close(fd)

    def case_idmapped(self):
        """with other maps, the same map, and none, of one directory"""
        for n in "x", "y":
            open("/a/" + n, "w").close()
        os.chown("/a/y", 7, 8)
        for n in "b/one", "b/two", "b/none":
            os.makedirs("/" + n)
        self.idmap(b"/a", b"/b/one", b"0 100000 1000")
        self.idmap(b"/a", b"/b/two", b"0 200000 5\n5 300000 10")
        mount("/b/one", "/c", None, 4096)
        mount("/a", "/b/none", None, 4096)
        assert os.stat("/b/two/y").st_uid == 300002 and os.stat("/c/y").st_gid == 100008 and os.stat("/b/none/y").st_uid == 7

    def case_idmapped_tmpfs(self):
        mount("t", "/a", "tmpfs", 0)
        self.idmap(b"/a", b"/b", b"0 100000 1000")

    def case_files(self):
        """all that a tmpfs can hold"""
        mount("t", "/a", "tmpfs", 0)
        os.mkdir("/a/d", 0o750)
        os.chown("/a/d", 1000, 1001)
        with open("/a/x", "w") as f:
            f.write("x" * 100000)
        os.chown("/a/x", 12, 34)
        os.chmod("/a/x", 0o4751)
        os.link("/a/x", "/a/d/y")
        os.setxattr("/a/x", "user.a", b"b\0c")
        os.setxattr("/a/x", "trusted.t", b"tt")
        os.setxattr("/a/x", "security.capability", bytes.fromhex("0100000202000000000000000000000000000000")[:20])
        os.setxattr("/a/d", "system.posix_acl_access", bytes.fromhex("0200000001000700ffffffff02000700e803000004000500ffffffff10000700ffffffff20000500ffffffff"))
        os.setxattr("/a/d", "system.posix_acl_default", bytes.fromhex("0200000001000700ffffffff02000500e803000004000500ffffffff10000700ffffffff20000500ffffffff"))
        with open("/a/sparse", "w") as f:
            f.truncate(1 << 30)
            f.seek(1 << 29)
            f.write("middle")
        os.mknod("/a/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod("/a/disk", 0o660 | stat.S_IFBLK, os.makedev(254, 0))
        os.mknod("/a/whiteout", stat.S_IFCHR, 0)
        os.mkfifo("/a/fifo", 0o604)
        os.symlink("x" * 300, "/a/link")
        os.lchown("/a/link", 3, 4)
        open("/a/new\nline \udcff", "w").close()
        os.utime("/a/x", ns=(123456789, 987654321012345678))
        os.utime("/a/d", ns=(1, 1500000000123456789))

    def run(self, steps):
        self.ns.append((self.at("self/ns/mnt"), self.at("self/root")))
        for _ in range(steps):
            if self.total() > MOUNTS_MAX:
                break
            try:
                self.step()
            except OSError as e:
                self.log.append(("", e.strerror))
        for pid, fd in self.kids:
            os.write(fd, b"x")
        self.enter(0)


def sleep():
    for fd in range(64):
        try:
            os.set_inheritable(fd, False)
        except OSError:
            pass
    os.execve(os.open("/bin/idle", os.O_RDONLY), ["idle"], {})


def start(seed, root, report, many=None):
    """the root task of a tree; its pid, when all is as it shall be"""
    pid = os.fork()
    if pid:
        return pid
    try:
        log, m = open(report, "w"), Maker(seed)
        os.setsid()
        call(libc.unshare(NEWNS))
        mount(None, "/", None, REC | KINDS["private"])
        mount(root, root, None, BIND)
        os.chdir(root)
        if libc.syscall(155, b".", b".") < 0:
            mount(".", "/", None, MOVE)
            os.chroot(".")
        else:
            umount(".")
        os.chdir("/")
        if isinstance(many, str):
            m.ns.append((m.at("self/ns/mnt"), m.at("self/root")))
            for d in NAMES:
                os.makedirs("/" + d, exist_ok=True)
            getattr(m, "case_" + many)()
        elif many:
            m.many(*many)
        else:
            m.run(m.rnd.choice((5, 15, 30, 40)))
        for line in m.log:
            print(*line, file=log)
        print("ready", file=log, flush=True)
        sleep()
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def until(true):
    end = time.time() + 60
    while not true():
        if time.time() > end:
            raise RuntimeError("still not true")
        time.sleep(0.005)


def tree_of(pid):
    return [pid] + [int(p) for p in read("/proc/%d/task/%d/children" % (pid, pid)).split()]


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def infos(pids):
    return [read("/proc/%d/mountinfo" % p) for p in pids]


def one(build, top, seed, many=None):
    """None, or what is wrong"""
    root, img, report = top + "/root", top + "/img", top + "/report"
    shutil.rmtree(img, ignore_errors=True)
    os.makedirs(img)
    os.makedirs(root)
    os.mkdir(root + "/bin")
    shutil.copy(build + "/tests/kit/idle", root + "/bin/idle")
    fill(random.Random(seed), root)
    for f in ("before", "after"):
        if os.path.exists(top + "/" + f):
            os.unlink(top + "/" + f)
    with open(report, "w"):
        pass
    pid = start(seed, root, report, many)
    pids, wrong = [pid], None
    try:
        until(lambda: read(report).endswith("ready\n"))
        pids = tree_of(pid)
        until(lambda: all(os.readlink("/proc/%d/exe" % p).endswith("idle") for p in pids))
        before = canonical(infos(pids))
        was = contents(pids, top + "/before") if not isinstance(many, tuple) else []
        t0 = time.time()
        r = subprocess.run([build + "/stasis", "dump", "-t", str(pid), "-D", img, "-v4", "-o", "dump.log"],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        t1 = time.time()
        if r.returncode:
            return "dump: " + r.stderr
        os.waitpid(pid, 0)
        mount(root, root, None, BIND)
        mount(None, root, None, KINDS["private"])
        t2 = time.time()
        try:
            r = subprocess.run([build + "/stasis", "restore", "-D", img, "-d", "--root", root, "-v4", "-o", "restore.log"],
                               stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        finally:
            umount(root)
        if r.returncode:
            return "restore: " + r.stderr
        if isinstance(many, tuple):
            print("%d mounts (%s): dump %.2f s, restore %.2f s" % (len(before), many[1], t1 - t0, time.time() - t2))
        now = contents(pids, top + "/after") if not isinstance(many, tuple) else []
        after = canonical(infos(pids))
        old, new = set(before), set(after)
        lost = ["- " + l for l in before if l not in new] + ["+ " + l for l in after if l not in old]
        if lost:
            wrong = "mountinfo:\n" + "\n".join(lost)
        elif was != now:
            wrong = "contents:\n" + "\n".join(["- " + l for l in was if l not in now] + ["+ " + l for l in now if l not in was])
    finally:
        for p in reversed(pids + tree_of(pid)):
            try:
                os.kill(p, signal.SIGKILL)
            except OSError:
                pass
        try:
            os.waitpid(pid, 0)
        except OSError:
            pass
        until(lambda: not any(os.path.exists("/proc/%d/ns/mnt" % p) and read("/proc/%d/stat" % p).split(" ")[2:3] not in (["Z"], []) for p in pids))
        shutil.rmtree(root)
    return wrong


def main():
    build, top = sys.argv[1], os.path.realpath(sys.argv[2])
    call(libc.unshare(NEWNS))
    mount(None, "/", None, REC | KINDS["private"])
    if sys.argv[3:4] == ["case"]:
        wrong = one(build, top, 1, sys.argv[4])
        print(wrong[:9000] if wrong else "kept")
        sys.exit(0)
    if sys.argv[3:4] == ["many"]:
        wrong = one(build, top, 1, (int(sys.argv[4]), sys.argv[5]))
        sys.exit(wrong[:3000] if wrong else 0)
    seeds = [int(x) for x in sys.argv[3:]]
    first = seeds[0] if seeds else int(os.environ.get("SEED", int(time.time() * 1000) % 1000000))
    end = time.time() + float(os.environ.get("SECONDS_MAX", 20))
    count = int(os.environ.get("SEEDS", 0))
    done, bad = 0, 0
    while done < len(seeds) if seeds else done < count if count else time.time() < end:
        seed = seeds[done] if seeds else first + done
        done += 1
        try:
            wrong = one(build, top, seed)
        except Exception:
            wrong = traceback.format_exc()
        if wrong:
            bad += 1
            print("seed %d: %s" % (seed, wrong.strip()[:3000]), flush=True)
            if seeds:
                print(read(top + "/report"))
                sys.exit(1)
    print("%d trees, %d wrong" % (done, bad))
    sys.exit(bad > 0)


main()
