# SPDX-License-Identifier: Apache-2.0
"""Broken images and requests made from good ones. Knows the wire only, no message: a change at random stays a
well-formed record most of the time, so that it gets past the decoder."""
import struct

NUMBERS = [0, 1, 2, 63, 64, 255, 4095, 4096, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 47) - 4096,
           1 << 47, (1 << 63) - 1, 1 << 63, (1 << 64) - 4096, (1 << 64) - 1]
TEXTS = [b"", b"/", b".", b"..", b"../../../../canary", b"/canary", b"/proc/1/root/canary", b"a" * 300, b"a/" * 3000,
         b"/../canary", b"\0", b"%s%n", b"\x1b[2J\n", b"\xff\xfe", b"x" * 70000]
MANY = 3000
DEEP = 50000


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if not byte & 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("varint")


def pack_varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def fields(data):
    """[[number, wire type, value]] of a message, or None if it is none"""
    out, at = [], 0
    try:
        while at < len(data):
            key, at = varint(data, at)
            kind = key & 7
            if not 0 < key >> 3 < 100000:
                return None
            if kind == 0:
                value, at = varint(data, at)
            elif kind == 2:
                n, at = varint(data, at)
                value, at = data[at:at + n], at + n
            elif kind in (1, 5):
                n = 8 if kind == 1 else 4
                value, at = int.from_bytes(data[at:at + n], "little"), at + n
            else:
                return None
            out.append([key >> 3, kind, value])
    except (IndexError, ValueError):
        return None
    return out if at == len(data) else None


def pack(message):
    out = []
    for number, kind, value in message:
        out.append(pack_varint(number << 3 | kind))
        if kind == 0:
            out.append(pack_varint(value))
        elif kind == 2:
            out += [pack_varint(len(value)), value]
        else:
            n = 8 if kind == 1 else 4
            out.append((value & (1 << 8 * n) - 1).to_bytes(n, "little"))
    return b"".join(out)


def nest(number, value):
    """a field in a field of its number in another..."""
    heads, n = [], len(value)
    for _ in range(DEEP):
        heads.append(pack_varint(number << 3 | 2) + pack_varint(n))
        n += len(heads[-1])
    return b"".join(reversed(heads)) + value


def flip(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def other_number(rng, value):
    return rng.choice((rng.choice(NUMBERS), value + 1, value - 1, value ^ 1 << rng.randrange(32), value * 2, -value))


def other_bytes(rng, value):
    return rng.choice((rng.choice(TEXTS), flip(rng, value), value[:rng.randrange(len(value) + 1)], value * 2,
                       value + rng.choice(TEXTS)))


def retype(rng, field):
    number, kind, value = field
    if kind == 2:
        return [number, rng.choice((0, 1, 5)), len(value)]
    return [number, 2, rng.choice(TEXTS)]


def message(rng, data):
    """another message, changed in one place, which may lie deep"""
    at = fields(data)
    if not at:
        return other_bytes(rng, data)
    i = rng.randrange(len(at))
    number, kind, value = at[i]
    if kind == 2 and rng.random() < 0.75 and fields(value):
        at[i][2] = message(rng, value)
        return pack(at)
    what = rng.random()
    if what < 0.6:
        at[i][2] = other_bytes(rng, value) if kind == 2 else other_number(rng, value)
    elif what < 0.7:
        del at[i]
    elif what < 0.78:
        at.insert(i, list(at[i]))
    elif what < 0.79:
        at[i:i] = [at[i]] * MANY
    elif what < 0.8:
        at[i] = [number, 2, nest(number, value if kind == 2 else b"")]
    elif what < 0.86:
        at[i] = retype(rng, at[i])
    elif what < 0.93:
        at[i][0] = max(1, number + rng.choice((-1, 1)))
    else:
        k = rng.randrange(len(at))
        at[i][2], at[k][2] = (at[k][2], value) if at[k][1] == kind else (value, at[k][2])
    return pack(at)


def records(data):
    """header, messages and what is left behind them: raw data, or nothing"""
    head = 8 if data[:4] == struct.pack("<I", 0x54564319) else 4
    out, at = [], head
    while at + 4 <= len(data):
        n = struct.unpack_from("<I", data, at)[0]
        if n > len(data) - at - 4 or fields(data[at + 4:at + 4 + n]) is None:
            break
        out.append(data[at + 4:at + 4 + n])
        at += 4 + n
    return data[:head], out, data[at:]


def join(head, entries, tail):
    return head + b"".join(struct.pack("<I", len(e)) + e for e in entries) + tail


def image(rng, data):
    """a broken image file"""
    what = rng.random()
    if what < 0.06:
        return flip(rng, data)
    if what < 0.12:
        return data[:rng.randrange(len(data) + 1)]
    head, entries, tail = records(data)
    if not entries:
        return flip(rng, data) if what < 0.6 else data[:rng.randrange(len(data) + 1)]
    i = rng.randrange(len(entries))
    if what < 0.16:
        del entries[i]
    elif what < 0.2:
        entries[i:i] = [entries[rng.randrange(len(entries))]] * rng.choice((1, 1, MANY))
    elif what < 0.22:
        rng.shuffle(entries)
    elif what < 0.24:
        tail = other_bytes(rng, tail)
    else:
        entries[i] = message(rng, entries[i])
    return join(head, entries, tail)
