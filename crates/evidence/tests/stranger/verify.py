#!/usr/bin/env python3
"""Checks an observation's folder as a stranger would: written from docs/evidence-format.md alone, with
nothing but Python's standard library. It shares no code with skep, and is run by skep's tests so that the
page and the code cannot part.

    verify.py FOLDER

Prints what it checked; ends with status 1 and the reason at the first thing that does not hold. It does
not replay the observer machine."""

import base64
import hashlib
import os
import re
import struct
import sys


class Broken(Exception):
    pass


def need(condition, reason):
    if not condition:
        raise Broken(reason)


def read(folder, path):
    try:
        with open(os.path.join(folder, path), "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise Broken(f"{path} is missing") from None


def sha256(data):
    return hashlib.sha256(data).digest()


def unbase64(text):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, f"base64 {text!r} is not the one encoding")
    return data


# Ed25519, RFC 8032 section 5.1, slowly.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    """Sum of two points in extended coordinates."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    e, h, g, f = f - e, f + e, h - g, h + g
    return (e * g % P, f * h % P, g * f % P, e * h % P)


def times(number, point):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = add(result, point)
        point = add(point, point)
        number >>= 1
    return result


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    need(y < P, "a point is not in its one form")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    need((x * x - square) % P == 0 and (x or not sign), "not a point of the curve")
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signature_holds(public, message, signature):
    number = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or number >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    left = times(number, BASE)
    right = add(point(signature[:32]), times(int.from_bytes(digest, "little") % ORDER, point(public)))
    same_x = (left[0] * right[2] - right[0] * left[2]) % P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % P == 0


# Canonical bencode.


def bdecode(data):
    value, end = bvalue(data, 0, 0)
    need(end == len(data), "bytes follow a value")
    return value


def bvalue(data, at, depth):
    need(depth < 20 and at < len(data), "bencode ends early or is too deep")
    first = data[at : at + 1]
    if first == b"i":
        match = re.compile(rb"i(0|-?[1-9][0-9]*)e").match(data, at)
        need(match, "not a canonical integer")
        return int(match[1]), match.end()
    if first.isdigit():
        match = re.compile(rb"(0|[1-9][0-9]*):").match(data, at)
        need(match, "not a canonical length")
        end = match.end() + int(match[1])
        need(end <= len(data), "a string ends early")
        return data[match.end() : end], end
    need(first in (b"l", b"d"), "not bencode")
    items, keys, at = [], [], at + 1
    while data[at : at + 1] != b"e":
        if first == b"d":
            key, at = bvalue(data, at, depth + 1)
            need(isinstance(key, bytes) and (not keys or keys[-1] < key), "keys out of order")
            keys.append(key)
        value, at = bvalue(data, at, depth + 1)
        items.append(value)
    return (dict(zip(keys, items)) if first == b"d" else items), at + 1


# The ledger.


def leaf(record):
    return sha256(b"\0" + record)


def node(left, right):
    return sha256(b"\1" + left + right)


def root(hashes):
    if not hashes:
        return sha256(b"")
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node(root(hashes[:split]), root(hashes[split:]))


def tile_path(level, n, width):
    groups = [f"{n % 1000:03}"]
    while n >= 1000:
        n //= 1000
        groups.insert(0, f"x{n % 1000:03}")
    return f"ledger/tile/{level}/{'/'.join(groups)}" + ("" if width == 256 else f".p/{width}")


def widths(count):
    """Number and width of every tile of a level with `count` hashes."""
    for n in range((count + 255) // 256):
        yield n, min(256, count - 256 * n)


def frames(data):
    """The bodies of whole frames, and how many bytes they take."""
    bodies, at = [], 0
    while len(data) - at >= 8:
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 8 : at + 8 + length]
        if len(body) < length or sha256(body)[:4] != data[at + 4 : at + 8]:
            break
        bodies.append(body)
        at += 8 + length
    return bodies, at


def check_ledger(folder):
    vkey = read(folder, "operator.vkey").decode()
    need(vkey.endswith("\n"), "operator.vkey does not end in a newline")
    name, key_id, encoded = vkey[:-1].split("+", 2)
    public = unbase64(encoded)
    expected = sha256(name.encode() + b"\n" + public)[:4]
    need(key_id == expected.hex() and len(public) == 33 and public[0] == 1, "operator.vkey")

    note = read(folder, "ledger/checkpoint").decode()
    split = note.rfind("\n\n")
    text, lines = note[: split + 1], note[split + 2 :]
    need(split > 0 and lines.endswith("\n"), "the checkpoint is no note")
    found = []
    for line in lines[:-1].split("\n"):
        dash, signer, signature = line.split(" ")
        signature = unbase64(signature)
        if dash == "\u2014" and signer == name and signature[:4] == expected:
            found.append(signature[4:])
    need(len(found) == 1, "the checkpoint has no signature by operator.vkey")
    need(signature_holds(public[1:], text.encode(), found[0]), "the checkpoint's signature")
    origin, size, signed_root = text[:-1].split("\n")
    need(origin == name and str(int(size)) == size, "the checkpoint's text")
    size = int(size)

    pending = os.path.join(folder, "ledger/pending")
    firsts = [int(first) for first in os.listdir(pending)] if os.path.isdir(pending) else []
    records, bundles = [], {}
    for n, width in widths(size):
        data = read(folder, tile_path("entries", n, width))
        bundle, at = [], 0
        while at < len(data):
            (length,) = struct.unpack_from(">H", data, at)
            bundle.append(data[at + 2 : at + 2 + length])
            at += 2 + length
        need(at == len(data) and len(bundle) == width, f"entry bundle {n}")
        records += bundle
    if firsts:
        first = max(firsts)
        bodies, _ = frames(read(folder, f"ledger/pending/{first}"))
        need(first % 256 == 0 and first + len(bodies) >= size, "the pending file is too short")
        need(bodies[: size - first] == records[first:], "pending file and bundles differ")
        records = records[:first] + bodies

    hashes = [leaf(record) for record in records]
    need(root(hashes[:size]) == unbase64(signed_root), "the root that the checkpoint signs")
    level, at_level, tiles = 0, hashes[:size], 0
    while at_level:
        for n, width in widths(len(at_level)):
            tile = b"".join(at_level[256 * n : 256 * n + width])
            need(read(folder, tile_path(level, n, width)) == tile, tile_path(level, n, width))
            tiles += 1
        at_level = [root(at_level[n : n + 256]) for n in range(0, len(at_level) // 256 * 256, 256)]
        level += 1
    print(f"checkpoint of {size} records signed by {name}; {tiles} tiles agree")
    return records, size, signed_root, origin


def check_records(records):
    kinds = {}
    for index, data in enumerate(records):
        need(len(data) <= 65535, f"record {index} is too long")
        record = bdecode(data)
        for key in (b"at", b"kind", b"run", b"utc_max", b"utc_min", b"utc_sync"):
            need(key in record, f"record {index} lacks {key.decode()}")
        kind = record[b"kind"].decode()
        kinds[kind] = kinds.get(kind, 0) + 1
    print(f"{len(records)} records of {len(kinds)} kinds are canonical bencode")


def check_proof(folder, records, size, signed_root):
    path = "record-7.tlog-proof"
    if not os.path.exists(os.path.join(folder, path)):
        return
    head, checkpoint = read(folder, path).decode().split("\n\n", 1)
    first, index, *proof = head.split("\n")
    need(first == "c2sp.org/tlog-proof@v1" and index == "index 7", "the proof's first lines")
    need(checkpoint == read(folder, "ledger/checkpoint").decode(), "the proof's checkpoint")
    at, last, have = 7, size - 1, leaf(records[7])
    for line in proof:  # RFC 9162, section 2.1.3.2.
        need(last > 0, "the proof is too long")
        if at & 1 or at == last:
            have = node(unbase64(line), have)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            have = node(have, unbase64(line))
        at, last = at >> 1, last >> 1
    need(last == 0 and have == unbase64(signed_root), "the proof's path")
    print("record 7 is proved by its tlog-proof")


# Journal and capture.


def option(code, value):
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(kind, body):
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total ^ 0xFFFF


def ip_packet(protocol, source, target, segment, sum_at):
    source, target = source[:-2], target[:-2]
    if len(source) == 4:
        pseudo = source + target + struct.pack(">BBH", 0, protocol, len(segment))
    else:
        pseudo = source + target + struct.pack(">IHBB", len(segment), 0, 0, protocol)
    total = checksum(pseudo + segment)
    if protocol == 17 and total == 0:
        total = 0xFFFF
    segment = segment[:sum_at] + struct.pack(">H", total) + segment[sum_at + 2 :]
    if len(source) == 4:
        parts = (0x45, 0, 20 + len(segment), 0, 0x4000, 64, protocol)
        head = struct.pack(">BBHHHBBH", *parts, 0) + source + target
        head = struct.pack(">BBHHHBBH", *parts, checksum(head)) + source + target
    else:
        head = struct.pack(">IHBB", 0x60000000, len(segment), protocol, 64) + source + target
    return head + segment


def payload_at(capture, offset, length):
    """The payload of a packet block: its last bytes before padding and options."""
    (packet_length,) = struct.unpack_from("<I", capture, offset + 20)
    end = offset + 28 + packet_length
    need(end <= len(capture) and length <= packet_length, "a packet block ends early")
    return capture[end - length : end]


def check_run(folder, run, observer, version):
    journal = read(folder, f"runs/{run:04}/journal")
    capture = read(folder, f"runs/{run:04}/capture.pcapng")
    bodies, whole = frames(journal)
    need(whole == len(journal), "the journal is torn")
    comment = (
        f"Run {run} of {observer}. Rebuilt from the bytes that went through sockets: no packet was "
        "seen. Addresses, ports and payload are the socket's; sequence and acknowledgement numbers "
        "count payload bytes from 1; there is no SYN, FIN or retransmission; times are nominal, "
        "their error is in the ledger."
    )
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + option(1, comment.encode())
    section += option(4, f"skep {version}".encode()) + option(0, b"")
    interface = struct.pack("<HHI", 101, 0, 0) + option(2, b"sockets")
    interface += option(3, b"bytes of sockets, with rebuilt headers") + option(9, b"\x09")
    rendered = block(0x0A0D0D0A, section) + block(1, interface + option(0, b""))
    clock, flows, before, packets = None, {}, 0, 0
    for body in bodies:
        entry = bdecode(body)
        kind, at = entry[b"in"].decode(), entry[b"at"]
        need(len(body) <= 1024 and at >= before, "the journal's entries")
        before = at
        if kind == "clock":
            clock = entry
        elif kind in ("opened", "incoming"):
            flows[entry[b"conn"]] = [entry[b"local"], entry[b"remote"], {True: 1, False: 1}]
        elif kind == "ended":
            flows.pop(entry[b"conn"], None)
        if b"capture" not in entry:
            continue
        need(entry[b"capture"] == len(rendered), "an entry points elsewhere")
        payload = payload_at(capture, len(rendered), entry[b"len"])
        inbound = kind in ("received", "datagram")
        if kind in ("received", "sent"):
            local, remote, following = flows[entry[b"conn"]]
        else:
            local, remote = entry[b"local"], entry[b"remote"]
        source, target = (remote, local) if inbound else (local, remote)
        ports = source[-2:] + target[-2:]
        if kind in ("received", "sent"):
            numbers = (following[inbound], following[not inbound])
            following[inbound] = (following[inbound] + len(payload)) % 2**32
            segment = ports + struct.pack(">IIBBHHH", *numbers, 0x50, 0x18, 65535, 0, 0) + payload
            packet = ip_packet(6, source, target, segment, 16)
        else:
            segment = ports + struct.pack(">HH", 8 + len(payload), 0) + payload
            packet = ip_packet(17, source, target, segment, 6)
        middle = (clock[b"before"] + clock[b"after"]) // 2
        stamp = max(0, 1000 * clock[b"utc"] + at - middle)
        data = struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet))
        data += packet + bytes(-len(packet) % 4)
        flags = option(2, struct.pack("<I", 1 if inbound else 2))
        rendered += block(6, data + flags + option(0, b""))
        packets += 1
    need(rendered == capture, f"the capture of run {run}, rendered again")
    print(f"run {run}: {len(bodies)} journal entries render the capture's {packets} packets")


def check_marks(folder, records):
    for record in map(bdecode, records):
        if record[b"kind"] == b"mark":
            run = record[b"run"]
            for part, name in ((b"journal", "journal"), (b"capture", "capture.pcapng")):
                data = read(folder, f"runs/{run:04}/{name}")[: record[part + b"_len"]]
                need(sha256(data) == record[part + b"_sha256"], f"a mark of run {run}: {name}")


def main(folder, golden):
    records, size, signed_root, observer = check_ledger(folder)
    check_records(records)
    check_proof(folder, records, size, signed_root)
    if golden:  # Its records are samples that tell no story.
        check_run(folder, 1, observer, "0.1.0")
        return
    for record in map(bdecode, records):
        if record[b"kind"] == b"run-started":
            check_run(folder, record[b"run"], observer, record[b"version"].decode())
            for digest in [record[b"config"], *re.findall(rb"(?s).{32}", record[b"torrents"])]:
                need(sha256(read(folder, f"blobs/{digest.hex()}")) == digest, "a blob")
    check_marks(folder, records)


if __name__ == "__main__":
    try:
        main(sys.argv[1], "--samples" in sys.argv[2:])
    except (Broken, ValueError, KeyError, IndexError, struct.error) as error:
        print(f"does not hold: {error!r}", file=sys.stderr)
        sys.exit(1)
