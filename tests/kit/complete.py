#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# complete: what a shell at a terminal makes of lines when TAB is pressed. Usage: complete.py bash|zsh DIR LINE...
import os, pty, select, signal, sys, time

shell, completions, lines = sys.argv[1], sys.argv[2], sys.argv[3:]
setup = {
    # what comes behind \x07 is the line as the shell has it then
    "bash": [". %s/stasis" % completions,
             """bind -x '"\\C-g": printf "\\a%s\\a\\n" "$READLINE_LINE"'""", "bind 'set bell-style none'",
             "bind 'set enable-bracketed-paste off'"],
    "zsh": ["fpath=(%s $fpath)" % completions, "autoload -Uz compinit", "compinit -D", "unsetopt beep zle_bracketed_paste",
            "shown() { printf '\\a%s\\a\\n' \"$BUFFER\"; }", "zle -N shown", "bindkey '^I' complete-word", "bindkey '^G' shown"],
}[shell]
command = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]

pid, fd = pty.fork()
if pid == 0:
    os.environ.update(TERM="dumb", PS1="> ", HISTFILE="/dev/null", COLUMNS="200")
    os.execvp(command[0], command)


def until(text, end=time.monotonic() + 60):
    seen = b""
    while text not in seen:
        if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            sys.exit("%s: no %r in %r" % (shell, text, seen))
        seen += os.read(fd, 65536)
    return seen


for n, line in enumerate(setup):
    os.write(fd, line.encode() + b"; echo se''tup%d\n" % n)
    until(b"setup%d" % n)
for line in lines:
    os.write(fd, line.encode() + b"\t\x07")
    seen = until(b"\a")
    while seen.count(b"\a") < 2:
        seen += until(b"\a")
    print(seen.split(b"\a")[1].decode())
    os.write(fd, b"\x15")  # the line is given up
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
