#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""recode.py BEFORE AFTER: is image AFTER, decoded and encoded again by crit, the same as BEFORE?

Byte for byte, less the fields that this crit does not know: ours (from 1001 on), and what is newer than CRIU
3.17, Debian's; compare.py knows that there are no others."""
import struct
import sys
from google.protobuf.descriptor import FieldDescriptor
import pycriu.images.images as images
from pycriu.images import magic


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 128:
            return value, at


def strip(data, desc):
    """data without the fields that desc does not have"""
    out, at = b"", 0
    while at < len(data):
        start = at
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        head = at
        if kind == 0:
            _, at = varint(data, at)
        elif kind == 2:
            n, head = varint(data, at)
            at = head + n
        else:
            at += {1: 8, 5: 4}[kind]
        field = desc.fields_by_number.get(number)
        if field is None:
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            inner = strip(data[head:at], field.message_type)
            out += encode(key) + encode(len(inner)) + inner
        else:
            out += data[start:at]
    return out


def encode(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def expected(path):
    """the bytes of an image less the fields that crit does not know"""
    data = open(path, "rb").read()
    numbers = struct.unpack_from("<II", data)
    own = magic.by_val.get(numbers[0])  # inventory.img has no other
    at = 4 if own in images.handlers else 8
    name = own if at == 4 else magic.by_val[numbers[1]]
    handler = images.handlers[name]
    out, first = data[:at], True
    while at < len(data):
        (n,) = struct.unpack_from("<I", data, at)
        payload = getattr(handler, "payload", None)
        if name == "PAGEMAP":
            payload = images.pb.pagemap_head if first else images.pb.pagemap_entry
            first = False
        body = strip(data[at + 4:at + 4 + n], payload.DESCRIPTOR)
        out += struct.pack("<I", len(body)) + body
        at += 4 + n
        if getattr(handler, "extra_handler", None):  # raw bytes follow
            more = extra(name, payload, body)
            out += data[at:at + more]
            at += more
    return out


def extra(name, payload, body):
    m = payload()
    m.ParseFromString(body)
    if name in ("PIPES_DATA", "FIFO_DATA"):
        return m.bytes
    if name == "SK_QUEUES":
        return m.length
    if name == "TCP_STREAM":
        return m.inq_len + m.outq_len
    raise SystemExit("%s: how long is what follows a record?" % name)


want, have = expected(sys.argv[1]), open(sys.argv[2], "rb").read()
if want != have:
    print("%s: crit makes other bytes of it" % sys.argv[1])
sys.exit(want != have)
