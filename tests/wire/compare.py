#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compare.py IMAGES.TSV: do our messages have every field of CRIU's, with number, label, type, name and
default? Ours alone may be optional or repeated fields from 1001 on, which docs/images.md lists."""
import collections
import glob
import os
import re
import sys

top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FIELD = re.compile(r"^\s*(optional|required|repeated)\s+([\w.]+)\s+(\w+)\s*=\s*(\d+)\s*(\[[^]]*\])?\s*;")
bad = []


def ours():
    out = collections.defaultdict(dict)
    for path in sorted(glob.glob(top + "/images/*.proto")):
        stack = []
        for line in open(path):
            line = line.split("//")[0]
            m = re.match(r"^\s*(message|enum|oneof)\s+(\w+)\s*{", line)
            if m:
                stack.append((m.group(1), m.group(2)))
            f = FIELD.match(line)
            if f and stack and stack[-1][0] == "message":
                label, kind, name, number, extra = f.groups()
                d = re.search(r"default\s*=\s*([^],]+)", extra or "")
                packed = "packed" in (extra or "")
                out[".".join(n for k, n in stack if k == "message")][int(number)] = (
                    label, kind, name, d.group(1).strip() if d else "", packed)
            for _ in range(line.count("}")):
                if stack:
                    stack.pop()
    return out


have = ours()
want = collections.defaultdict(dict)
for line in open(sys.argv[1]):
    f = line.rstrip("\n").split("\t")
    if f[0] != "file":
        want[f[1]][int(f[2])] = (f[3], f[4], f[5], f[6], f[7] not in ("", "false", "0"))
for message, fields in want.items():
    if message not in have:
        bad.append("%s is missing" % message)
        continue
    for number, w in fields.items():
        h = have[message].get(number)
        if not h:
            bad.append("%s.%s = %d is missing" % (message, w[2], number))
        elif (h[0], h[1], h[2], h[3], h[4]) != (w[0], w[1].split(".")[-1], w[2], w[3], w[4]):
            bad.append("%s.%d: %r, CRIU has %r" % (message, number, h, w))
doc = open(top + "/docs/images.md").read()
for message, fields in have.items():
    for number, h in fields.items():
        if number in want.get(message, {}):
            continue
        if message in want and number <= 1000:
            bad.append("%s.%s = %d takes a number of CRIU's" % (message, h[2], number))
        if message in want and h[0] == "required":
            bad.append("%s.%s is required: CRIU could not read ours without it" % (message, h[2]))
        if message in want and "`%s.%s`" % (message, h[2]) not in doc:
            bad.append("%s.%s: docs/images.md does not tell of it" % (message, h[2]))
print("\n".join(bad))
sys.exit(1 if bad else 0)
