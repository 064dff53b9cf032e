#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The RPC, what rpc.bats leaves: the worker's own descriptors, fields that a file overrides, old fields, odd ones.
bats_require_minimum_version 1.5.0
load ../kit/helper

setup() {
	setup_work
	export RPC_PB=$IMG IMG PID W HOME=$IMG PYTHONPATH=$BATS_TEST_DIRNAME/../kit
	protoc -I"$BATS_TEST_DIRNAME/../../images" --python_out="$IMG" rpc.proto
	unset CRIU_CONFIG_FILE
}
teardown() { teardown_work; }
# common: img, pid, job(type, fields...) -> response, status, worker
common='
from rpc import *
img, pid, home = os.environ["IMG"] + "/img", int(os.environ["PID"]), os.environ["IMG"]
def job(t, where=img, change=None, **kw):
    req = opts(where, **kw)
    req.type = t
    if change:
        change(req.opts)
    return once(req)
def write(name, text):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    open(name, "w").write(text)
    return name
'
py() { timeout 60 /usr/bin/python3 -c "$common$(cat)"; }

@test "swrk leaves its standard descriptors alone till the first request; they may be closed, and the socket be anywhere" {
	py <<'PY'
import time
w = Swrk()
for i in range(100):
    if "swrk" in open("/proc/%d/cmdline" % w.proc.pid).read():
        break
    time.sleep(0.01)
assert os.readlink("/proc/%d/fd/0" % w.proc.pid) == "/dev/null"
assert os.readlink("/proc/%d/fd/1" % w.proc.pid) == os.readlink("/proc/%d/fd/2" % w.proc.pid)
assert w.ask(rpc.criu_req(type=rpc.VERSION)).success and w.end() == 0 and w.out == ""
for number in 0, 3, 200:
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        os.dup2(b.fileno(), 250)
        os.closerange(0, 250)
        os.dup2(250, number)
        os.close(250)
        os.execv(CRIU, ["criu", "swrk", str(number)])
    b.close()
    w = Swrk.__new__(Swrk)
    w.sock, w.steps, w.fds, w.refuse = a, [], [], ()
    req = opts(img, pid=pid, leave_running=True)
    req.type = rpc.DUMP
    resp = w.ask(req)
    assert resp and resp.success, (number, resp)
    a.close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
PY
	verify
}

@test "descriptors of the request are the caller's; images_dir by its path; an absolute work_dir in a file wins" {
	py <<'PY'
work, other = home + "/work", home + "/other"
os.mkdir(home + "/workdir"), os.mkdir(other)
req = opts(img, pid=pid, leave_running=True, work_dir_fd=os.open(home + "/workdir", os.O_RDONLY | os.O_CLOEXEC), log_file="l")
req.type = rpc.DUMP
assert once(req)[0].success and os.path.exists(home + "/workdir/l") and os.path.exists(home + "/workdir/stats-dump")
req = rpc.criu_req(type=rpc.DUMP)
req.opts.images_dir_fd, req.opts.images_dir, req.opts.pid, req.opts.leave_running = -1, other, pid, True
assert once(req)[0].success and os.path.exists(other + "/inventory.img")
for f in os.listdir(other):
    os.unlink(other + "/" + f)
conf = write(home + "/c/conf", "work-dir %s\n" % other)
assert job(rpc.DUMP, pid=pid, leave_running=True, config_file=conf)[0].success
assert sorted(os.listdir(other)) == ["criu.log", "stats-dump"], os.listdir(other)
PY
	verify
}

@test "a false that is there beats a true of default.conf; log_to_stderr; images-dir of default.conf does not count" {
	py <<'PY'
write(home + "/.criu/default.conf", "images-dir /nonexistent\nleave-running\nlog-file default.log\n")
resp, status, w = job(rpc.DUMP, pid=pid, log_to_stderr=True, log_level=4)
assert resp.success and status == 0 and "Dumping finished successfully" in w.out, resp
assert "criu.log" not in os.listdir(img) and "default.log" not in os.listdir(img)
os.kill(pid, 0) # of default.conf: it runs on
assert job(rpc.DUMP, pid=pid, leave_running=False)[0].success
PY
	until_true gone "$PID"
	restore
	verify
}

@test "leave_stopped wins over leave_running; display_stats goes to standard output" {
	py <<'PY'
resp, status, w = job(rpc.DUMP, pid=pid, leave_running=True, leave_stopped=True, display_stats=True)
assert resp.success and w.out.startswith("Displaying dump stats:\n") and w.out.count("\n") == 10, w.out
assert open("/proc/%d/stat" % pid).read().split(") ")[1][0] == "T"
PY
	kill -CONT "$PID" $(cat "/proc/$PID/task/$PID/children")
	verify
}

@test "what runc sends: mounts that are none, devices, the same key twice, cgroups of any name; its answers" {
	py <<'PY'
def runc(o):
    for k, v in ("/proc/kcore", "/dev/null"), ("/dev/null", "/dev/null"), ("/dev/null", "/dev/null"), ("/none", "/none"):
        o.ext_mnt.add(key=k, val=v)
    for c, p in ("", "/x"), ("name=foo", "/"), ("cpu", "/"):
        o.cg_root.add(ctrl=c, path=p)
    o.veths.add(if_in="eth0", if_out="veth0")
    o.external.extend(["net[1]:extRootNetNS", "anything"])
f = dict(manage_cgroups=True, manage_cgroups_mode=rpc.IGNORE, empty_ns=0x40000000, orphan_pts_master=True, link_remap=True, ext_unix_sk=True,
         tcp_established=True, tcp_skip_in_flight=True, file_locks=True, auto_dedup=True, config_file="/etc/criu/runc.conf", log_level=4,
         notify_scripts=True, cpu_cap=5, ghost_limit=1 << 20, timeout=10, force_irmap=True, weak_sysctls=True, evasive_devices=True)
resp, status, w = job(rpc.DUMP, change=runc, pid=pid, **f)
assert resp.success and status == 0 and w.out == "", resp
f["rst_sibling"] = True
resp, status, w = job(rpc.RESTORE, change=runc, **f)
assert resp.success and resp.restore.pid == pid and w.out == "", resp
PY
	verify
}

@test "setup that is wrong: EBADRQC and one sentence, before anything is touched" {
	py <<'PY'
def add(name, **kw):
    return lambda o: getattr(o, name).add(**kw)
def put(name, value):
    return lambda o: setattr(o, name, value)
wrong = [
    (rpc.DUMP, "manage_cgroups_mode", {"manage_cgroups_mode": 6, "empty_ns": 1}, "empty_ns"),
    (rpc.DUMP, "log_file", {"log_file": "a/b"}, "No subdirs are allowed in log_file name"),
    (rpc.DUMP, "work_dir_fd", {"work_dir_fd": 900}, "work_dir_fd"),
    (rpc.DUMP, "lazy_pages", {"lazy_pages": True}, "lazy-pages"),
    (rpc.DUMP, "parent_img", {"parent_img": "../a"}, "prev-images-dir"),
    (rpc.DUMP, "track_mem", {"track_mem": True}, "track-mem"),
    (rpc.DUMP, "tls", {"tls": True, "tls_cacert": "/none", "tls_no_cn_verify": True}, "tls"),
    (rpc.RESTORE, "lazy_pages", {"lazy_pages": True}, "lazy-pages"),
    (rpc.DUMP, "status_fd", {"status_fd": 900}, "status_fd"),
    (rpc.DUMP, "status_fd", {"status_fd": os.open("/", os.O_RDONLY)}, "status_fd"),
    (rpc.DUMP, "ps", {"change": lambda o: setattr(o.ps, "port", 5)}, "page-server"),
    (rpc.DUMP, "cgroup_props", {"cgroup_props": "x"}, "cgroup-props"),
    (rpc.RESTORE, "join_ns", {"change": add("join_ns", ns="pid", ns_file="1")}, "pid"),
    (rpc.RESTORE, "join_ns", {"change": add("join_ns", ns="what", ns_file="1")}, "join-ns"),
    (rpc.RESTORE, "join_ns", {"change": add("join_ns", ns="net", ns_file="1"), "empty_ns": 0x40000000}, "empty"),
]
for t, name, kw, text in wrong:
    kw = dict(kw)
    if t == rpc.DUMP:
        kw["pid"] = pid
    resp, status, w = job(t, **kw)
    assert (resp.type, resp.success, resp.cr_errno, status, w.out) == (t, False, 56, 1, ""), (name, resp, w.out)
    assert text in resp.cr_errmsg, (name, resp)
PY
	[ ! -e "$IMG/img/inventory.img" ]
	verify
}

@test "what only a page server needs is no fault of a plain dump: keys, a descriptor for its status, modes" {
	py <<'PY'
r, w = os.pipe()
f = dict(tls_cacert="/none", tls_cacrl="/none", tls_cert="/none", tls_key="/none", tls_no_cn_verify=True, tls=False,
         status_fd=w, pre_dump_mode=rpc.VM_READ, track_mem=False, lazy_pages=False, parent_img="", pidfd_store_sk=w)
resp, status, worker = job(rpc.DUMP, pid=pid, leave_running=True, **f)
assert resp.success and status == 0 and worker.out == "", resp
os.close(w)
assert os.read(r, 1) == b"" # nothing was ready to be read from, and nobody holds it
PY
	verify
}

@test "requests of other kinds: PRE_DUMP, page servers, WAIT_PID of a child, exit statuses" {
	py <<'PY'
for t, word in (rpc.PRE_DUMP, "pre-dump"), (rpc.SINGLE_PRE_DUMP, "pre-dump"), (rpc.PAGE_SERVER, "page-server"), (rpc.PAGE_SERVER_CHLD, "page-server"):
    req = opts(img, pid=pid, track_mem=True, parent_img="../a", leave_running=True)
    req.type, req.keep_open = t, t in (rpc.PAGE_SERVER, rpc.PAGE_SERVER_CHLD)
    req.opts.ps.port, req.opts.ps.address = 9, "127.0.0.1"
    resp, status, w = once(req)
    assert resp.type == t and not resp.success and resp.cr_errmsg == word + " is not supported yet; nothing was done", resp
    assert status == 1 and w.out == ""
assert job(rpc.RESTORE)[0].restore.pid == -1
resp, status, w = once(rpc.criu_req(type=rpc.FEATURE_CHECK))
assert not resp.success and status == 0
req = rpc.criu_req(type=rpc.FEATURE_CHECK, features=rpc.criu_features(mem_track=True, lazy_pages=True, pidfd_store=True))
req.opts.images_dir_fd = 900 # not looked at
resp, status, w = once(req)
assert resp.success and all(resp.features.HasField(f) for f in ("mem_track", "lazy_pages", "pidfd_store")), resp
PY
	verify
}
