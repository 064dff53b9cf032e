#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# criu's RPC on the wire, by python's protobuf: every type of request, errors, steps, files.
bats_require_minimum_version 1.5.0
load ../kit/helper
load link

setup() {
	setup_work
	export RPC_PB=$IMG IMG PID W
	protoc -I"$BATS_TEST_DIRNAME/../../images" --python_out="$IMG" rpc.proto
	export HOME=$IMG PYTHONPATH=$BATS_TEST_DIRNAME/../kit
	unset CRIU_CONFIG_FILE
}
teardown() { teardown_work; }
py() { timeout 60 /usr/bin/python3 - "$@"; }

@test "VERSION; NOTIFY, EMPTY and nonsense as first request" {
	py <<'PY'
from rpc import *
resp, status, w = once(rpc.criu_req(type=rpc.VERSION))
assert (resp.type, resp.success, status, w.out) == (rpc.VERSION, True, 0, "")
assert (resp.version.major_number, resp.version.minor_number, resp.version.gitid) == (4, 2, "")
for t in rpc.NOTIFY, rpc.EMPTY:
    resp, status, w = once(rpc.criu_req(type=t))
    assert (resp.type, resp.success, status) == (rpc.EMPTY, False, 255), resp
w = Swrk()
w.sock.send(b"\xff\xff\xff\xff")
assert w.receive() is None and w.end() == 255
PY
}

@test "keep_open: several requests, then the end is no failure; a dump cannot stay" {
	py <<'PY'
from rpc import *
w = Swrk()
for i in range(3):
    assert w.ask(rpc.criu_req(type=rpc.VERSION, keep_open=True)).success
resp = w.ask(rpc.criu_req(type=rpc.FEATURE_CHECK, keep_open=True, features=rpc.criu_features(mem_track=True)))
assert resp.success and resp.features.HasField("mem_track") and resp.features.HasField("pidfd_store")
assert not resp.features.lazy_pages
resp = w.ask(rpc.criu_req(type=rpc.FEATURE_CHECK, keep_open=True))
assert not resp.success
resp = w.ask(rpc.criu_req(type=rpc.WAIT_PID, pid=1, keep_open=True))
assert resp.type == rpc.WAIT_PID and not resp.success and not resp.HasField("cr_errno")
assert w.end() == 0
req = opts(os.environ["IMG"] + "/img", pid=int(os.environ["PID"]))
req.type, req.keep_open = rpc.DUMP, True
assert once(req)[0] is None
PY
	verify
}

@test "what is not there yet is refused in a sentence" {
	py <<'PY'
from rpc import *
for t in (rpc.PRE_DUMP, rpc.SINGLE_PRE_DUMP, rpc.PAGE_SERVER, rpc.PAGE_SERVER_CHLD):
    req = opts(os.environ["IMG"] + "/img")
    req.type = t
    resp, status, w = once(req)
    assert resp.type == t and not resp.success and "not supported yet" in resp.cr_errmsg, resp
req = opts(os.environ["IMG"] + "/img", pid=int(os.environ["PID"]), lazy_pages=True)
req.type = rpc.DUMP
resp, status, w = once(req)
assert not resp.success and resp.cr_errno == 56 and "--lazy-pages" in resp.cr_errmsg and status == 1
PY
	verify
}

@test "error numbers: no such pid, a pid in use, wrong options" {
	py <<'PY'
from rpc import *
img, pid = os.environ["IMG"] + "/img", int(os.environ["PID"])
def job(t, **kw):
    req = opts(img, **kw)
    req.type = t
    return once(req)
resp, status, w = job(rpc.DUMP, pid=int(open("/proc/sys/kernel/pid_max").read()))
assert (resp.success, resp.cr_errno, status, w.out) == (False, 3, 1, ""), resp
assert job(rpc.DUMP, pid=pid, leave_running=True)[0].success
resp, status, w = job(rpc.RESTORE)
assert (resp.cr_errno, resp.restore.pid, status) == (17, -1, 1), resp
resp, status, w = job(rpc.DUMP, pid=pid, log_file="../file.log")
assert resp.cr_errno == 56 and "No subdirs are allowed in log_file name" in resp.cr_errmsg
req = rpc.criu_req(type=rpc.DUMP)
req.opts.images_dir_fd = -1
req.opts.pid = pid
assert once(req)[0].cr_errno == 56
req.opts.images_dir_fd = 900
assert once(req)[0].cr_errno == 56
req.opts.ClearField("pid")
req.opts.images_dir_fd = os.open(img, os.O_RDONLY)
req.opts.pid = pid
req.opts.empty_ns = 0x20000
assert once(req)[0].cr_errno == 56
PY
	verify
}

@test "dump and restore with steps in order; rst_sibling makes the task our child" {
	py <<'PY'
from rpc import *
img, pid = os.environ["IMG"] + "/img", int(os.environ["PID"])
req = opts(img, pid=pid, notify_scripts=True, log_level=4, log_file="dump.log")
req.type = rpc.DUMP
resp, status, w = once(req)
assert resp.success and resp.dump.HasField("restored") and not resp.dump.restored, resp
assert (status, w.out) == (0, ""), w.out
assert [s for s, p in w.steps] == ["pre-dump", "query-ext-files", "post-dump"], w.steps
assert "Dumping finished successfully" in open(img + "/dump.log").read()
req = opts(img, notify_scripts=True, rst_sibling=True)
req.type = rpc.RESTORE
resp, status, w = once(req)
assert resp.success and resp.restore.pid == pid and (status, w.out) == (0, ""), resp
assert [s for s, p in w.steps] == ["pre-restore", "post-restore", "pre-resume", "post-resume"], w.steps
assert dict(w.steps)["post-restore"] == pid
assert os.path.exists(img + "/criu.log")
children = open("/proc/self/task/%d/children" % os.getpid()).read().split()
assert str(pid) in children, children
PY
	until_true beats_on "$(beat)"
	verify
}

@test "a step that is refused: pre-dump and post-dump leave the tree running" {
	py <<'PY'
from rpc import *
for step in "pre-dump", "post-dump":
    req = opts(os.environ["IMG"] + "/img", pid=int(os.environ["PID"]), notify_scripts=True)
    req.type = rpc.DUMP
    w = Swrk()
    w.refuse = (step,)
    resp = w.ask(req)
    assert not resp.success and step in resp.cr_errmsg, resp
    assert w.end() == 1
PY
	until_true beats_on "$(beat)"
	verify
}

@test "exec_cmd: the worker becomes the command" {
	py <<'PY'
from rpc import *
img = os.environ["IMG"] + "/img"
req = opts(img, pid=int(os.environ["PID"]))
req.type = rpc.DUMP
assert once(req)[0].success
req = opts(img)
req.type = rpc.RESTORE
req.opts.exec_cmd.extend(["sh", "-c", "echo taken; exit 7"])
resp, status, w = once(req)
assert resp.success and status == 7, (resp, status)
assert "taken" in open(img + "/criu.log").read()
PY
	verify
}

@test "configuration files: RPC beats default.conf, config_file beats RPC; broken ones" {
	py <<'PY'
from rpc import *
img, pid, home = os.environ["IMG"] + "/img", int(os.environ["PID"]), os.environ["IMG"]
def write(name, text):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    open(name, "w").write(text)
    return name
def dump(env=None, **kw):
    for f in os.listdir(img):
        os.unlink(img + "/" + f)
    req = opts(img, pid=pid, leave_running=True, **kw)
    req.type = rpc.DUMP
    return once(req, env={**os.environ, **(env or {})})
logs = lambda: sorted(f for f in os.listdir(img) if f.endswith(".log"))
write(home + "/.criu/default.conf", "log-file default.log # a comment\n  shell-job\n")
assert dump()[0].success and logs() == ["default.log"], logs()
assert dump(log_file="rpc.log")[0].success and logs() == ["rpc.log"], logs()
conf = write(home + "/x.conf", 'log-file="%s/far.log"\nverbosity=4\n' % home)
resp = dump(log_file="rpc.log", config_file=conf)[0]
assert resp.success and logs() == [], (resp, logs())
assert ") " in open(home + "/far.log").read()
assert dump(config_file="/nonexistent/runc.conf")[0].success
bad = write(home + "/bad.conf", "no-such-thing\n")
resp, status, w = dump(config_file=bad)
assert resp.cr_errno == 56 and "no-such-thing" in resp.cr_errmsg and not resp.success
open(bad, "wb").write(b"h\xc3\xa4h-\xff\xc3\n")
resp, status, w = dump(config_file=bad)
assert "h\u00e4h-??" in resp.cr_errmsg, resp
open(bad, "w").write("x" * 5000)
resp, status, w = dump(config_file=bad)
assert resp.cr_errno == 56 and 300 < len(resp.cr_errmsg) <= 1023
assert dump(env={"CRIU_CONFIG_FILE": bad})[1] == 1
env = write(home + "/env.conf", "log-file env.log\n")
assert dump(env={"CRIU_CONFIG_FILE": env})[0].success and logs() == ["env.log"]
other = home + "/other"
os.mkdir(other)
conf = write(home + "/dirs.conf", "images-dir %s\nnetwork-lock skip\ntcp-close\nmanage-cgroups ignore\n" % other)
assert dump(config_file=conf)[0].success
assert os.path.exists(other + "/inventory.img") and not os.path.exists(img + "/inventory.img")
PY
	verify
}

@test "query-ext-files may name more; a descriptor handed in that is not open is refused" {
	py <<'PY'
from rpc import *
img, pid = os.environ["IMG"] + "/img", int(os.environ["PID"])
def step(notify, ack):
    if notify.script == "query-ext-files":
        ack.opts.images_dir_fd = -1
        ack.opts.external.append("file[0:1]")
req = opts(img, pid=pid, notify_scripts=True, leave_running=True)
req.type = rpc.DUMP
w = Swrk()
assert w.ask(req, step).success and w.end() == 0
req = opts(img)
req.type = rpc.RESTORE
f = req.opts.inherit_fd.add()
f.key, f.fd = "pipe:[1]", 900
resp, status, w = once(req)
assert resp.cr_errno == 56 and "inherit_fd" in resp.cr_errmsg
PY
	verify
}

@test "CHECK says yes on this system and prints nothing" {
	py <<'PY'
from rpc import *
resp, status, w = once(rpc.criu_req(type=rpc.CHECK))
assert (resp.type, resp.success, status, w.out) == (rpc.CHECK, True, 0, ""), (resp, w.out)
PY
}

@test "without a pid the caller itself is meant; its worker must not be within its tree" {
	py <<'PY'
from rpc import *
req = opts(os.environ["IMG"] + "/img")
req.type = rpc.DUMP
resp, status, w = once(req)
assert not resp.success and "The criu itself is within dumped tree" in resp.cr_errmsg, resp
assert status == 1
PY
}

@test "CPUINFO_DUMP and CPUINFO_CHECK, on one connection; another processor is ENOTSUP" {
	py <<'PY'
from rpc import *
img = os.environ["IMG"] + "/img"
w = Swrk()
def cpu(t, **kw):
    req = opts(img, **kw)
    req.type, req.keep_open = t, True
    return w.ask(req)
resp = cpu(rpc.CPUINFO_CHECK)
assert not resp.success and not resp.cr_errno and "cpuinfo.img" in resp.cr_errmsg, resp
resp = cpu(rpc.CPUINFO_DUMP)
assert resp.type == rpc.CPUINFO_DUMP and resp.success, resp
assert cpu(rpc.CPUINFO_CHECK).success and cpu(rpc.CPUINFO_CHECK, cpu_cap=7).success
raw = subprocess.run(["crit", "decode", "-i", img + "/cpuinfo.img"], stdout=subprocess.PIPE, check=True).stdout
import json
doc = json.loads(raw)
doc["entries"][0]["x86_entry"][0]["capability"][9] |= 1 << 27 # AVX512ER: no processor for containers has it
subprocess.run(["crit", "encode", "-o", img + "/cpuinfo.img"], input=json.dumps(doc).encode(), check=True)
resp = cpu(rpc.CPUINFO_CHECK)
assert (resp.type, resp.success, resp.cr_errno) == (rpc.CPUINFO_CHECK, False, 95), resp
assert "7.EBX" in resp.cr_errmsg, resp
assert cpu(rpc.CPUINFO_CHECK, cpu_cap=1).success
assert w.end() == 0 and w.out == "", w.out
PY
	run -161 "$BUILD/criu" cpuinfo check -D "$IMG/img"
	"$BUILD/criu" cpuinfo check --cpu-cap=fpu -D "$IMG/img"
}

@test "keep_open: hundreds of requests cost no memory and no descriptors" {
	export MORE=200 # KiB; the address sanitizer keeps what was freed for a while
	! nm "$BUILD/stasis" | grep -q __asan_init || MORE=100000
	py <<'PY'
from rpc import *
img = os.environ["IMG"] + "/img"
w = Swrk()
def held():
    status = dict(line.split(":", 1) for line in open(f"/proc/{w.proc.pid}/status"))
    return len(os.listdir(f"/proc/{w.proc.pid}/fd")), int(status["VmRSS"].split()[0])
def hundred():
    for i in range(100):
        assert w.ask(rpc.criu_req(type=rpc.VERSION, keep_open=True)).success
        req = opts(img, log_file=f"log{i}")
        req.type, req.keep_open = (rpc.CPUINFO_CHECK if i % 2 else rpc.CPUINFO_DUMP), True
        assert w.ask(req).success
        os.close(req.opts.images_dir_fd)
        req = opts(img)
        req.type, req.keep_open = rpc.CPUINFO_CHECK, True
        req.opts.images_dir_fd = 9999
        assert not w.ask(req).success
hundred()
fds, kib = held()
hundred()
hundred()
assert held()[0] == fds and held()[1] < kib + int(os.environ["MORE"]), (fds, kib, held())
assert w.end() == 0
PY
}

@test "own namespaces: the steps around them, in criu's order" {
	teardown_work
	mkdir -p "$IMG/img"
	protoc -I"$BATS_TEST_DIRNAME/../../images" --python_out="$IMG" rpc.proto
	unshare -n "$BUILD/tests/kit/work" "$W" </dev/null >/dev/null 2>&1 3>&- &
	export PID=$!
	until_true test -e "$W.ready"
	py <<'PY'
from rpc import *
img, pid = os.environ["IMG"] + "/img", int(os.environ["PID"])
NET = 0x40000000
def dump(refuse=(), **kw):
    req = opts(img, pid=pid, notify_scripts=True, empty_ns=NET, **kw)
    req.type = rpc.DUMP
    w = Swrk()
    w.refuse = refuse
    resp = w.ask(req)
    w.end()
    return resp, [s for s, p in w.steps]
resp, steps = dump(leave_running=True)
assert resp.success, resp
assert steps == ["pre-dump", "network-lock", "query-ext-files", "post-dump", "network-unlock"], steps
resp, steps = dump(refuse=("post-dump",))
assert not resp.success and steps[-1] == "network-unlock", steps
resp, steps = dump(refuse=("network-lock",))
assert not resp.success and "network-lock" in resp.cr_errmsg, steps
resp, steps = dump()
assert resp.success and steps == ["pre-dump", "network-lock", "query-ext-files", "post-dump"], steps
req = opts(img, notify_scripts=True, empty_ns=NET)
req.type = rpc.RESTORE
resp, status, w = once(req)
assert resp.success, resp
assert [s for s, p in w.steps] == ["pre-restore", "setup-namespaces", "post-setup-namespaces", "post-restore",
                                   "network-unlock", "pre-resume", "post-resume"], w.steps
assert [s for s, p in w.steps if p] == ["setup-namespaces", "post-restore"]
assert dict(w.steps)["setup-namespaces"] == pid
PY
	verify
}

@test "a descriptor is handed over with its step" {
	link steps "$IMG/steps"
	py <<'PY'
from rpc import *
for agree in True, False:
    w = Swrk.__new__(Swrk)
    w.sock, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    w.fds = []
    p = subprocess.Popen([os.environ["IMG"] + "/steps", str(b.fileno())], pass_fds=[b.fileno()])
    resp = w.receive()
    assert resp.notify.script == "orphan-pts-master" and len(w.fds) == 1
    assert os.readlink("/proc/self/fd/%d" % w.fds[0]) == "/dev/zero"
    w.sock.send(rpc.criu_req(type=rpc.NOTIFY, notify_success=agree).SerializeToString())
    assert p.wait(20) == (0 if agree else 1)
PY
}
