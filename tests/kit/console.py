# SPDX-License-Identifier: Apache-2.0
# console.py DIR STATE ID: a container on a terminal, DIR/b, through a checkpoint; both times its master is
# sent to our console socket, and what is typed there is answered.
import array, os, select, socket, subprocess, sys
DIR, STATE, ID = sys.argv[1:]


def on_console(*command):
    """the terminal's master that a command of runc sends"""
    path = f"{DIR}/{command[0]}.sock"
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen()
    s.settimeout(20)
    p = subprocess.Popen(["runc", "--root", STATE, *command, "-d", "--console-socket", path, "--bundle", f"{DIR}/b", ID],
                         stdin=subprocess.DEVNULL)
    c, _ = s.accept()
    _, anc, _, _ = c.recvmsg(4096, 64)
    assert p.wait(20) == 0
    return array.array("i", anc[0][2][:4])[0]


def answers(m, word):
    os.write(m, word.encode() + b"\n")
    seen = b""
    while b"got " + word.encode() not in seen:
        assert select.select([m], [], [], 10)[0], seen
        seen += os.read(m, 4096)
    return seen


m = on_console("run")
answers(m, "one")
subprocess.run(["runc", "--root", STATE, "checkpoint", "--image-path", f"{DIR}/img", ID], check=True)
os.close(m)
m = on_console("restore", "--image-path", f"{DIR}/img")
assert b"one" not in answers(m, "two")
