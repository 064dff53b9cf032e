# SPDX-License-Identifier: Apache-2.0
# Talks criu's RPC to `criu swrk` or to a service, for tests. RPC_PB: where protoc has put rpc_pb2.py.
import array, os, socket, subprocess, sys
sys.path.insert(0, os.environ["RPC_PB"])
import rpc_pb2 as rpc

CRIU = os.environ["BUILD"] + "/criu"


class Swrk:
    def __init__(self, pass_fds=(), env=None):
        self.sock, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.proc = subprocess.Popen([CRIU, "swrk", str(b.fileno())], pass_fds=[b.fileno(), *pass_fds],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, env=env)
        b.close()
        self.steps, self.fds = [], []
        self.refuse = ()

    def ask(self, req, on_step=None):
        """the answer, or None; steps on the way are acknowledged"""
        self.sock.settimeout(20)
        try:
            self.sock.send(req.SerializeToString())
            while True:
                resp = self.receive()
                if resp is None or resp.type != rpc.NOTIFY:
                    return resp
                self.steps.append((resp.notify.script, resp.notify.pid))
                ack = rpc.criu_req(type=rpc.NOTIFY, notify_success=resp.notify.script not in self.refuse)
                if on_step:
                    on_step(resp.notify, ack)
                self.sock.send(ack.SerializeToString())
        except (ConnectionError, socket.timeout):
            return None

    def receive(self):
        data, anc, _, _ = self.sock.recvmsg(65536, 256)
        for level, kind, fds in anc:
            if kind == socket.SCM_RIGHTS:
                self.fds += array.array("i", fds[:4]).tolist()
        if not data:
            return None
        resp = rpc.criu_resp()
        resp.ParseFromString(data)
        return resp

    def end(self):
        """exit status; a worker that served says nothing on its output"""
        self.sock.close()
        self.out = self.proc.stdout.read().decode()
        return self.proc.wait(20)


def opts(directory, **more):
    req = rpc.criu_req()
    req.opts.images_dir_fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    for k, v in more.items():
        setattr(req.opts, k, v)
    return req


def once(req, **kw):
    w = Swrk(**kw)
    resp = w.ask(req)
    return resp, w.end(), w
