"""Texts near JSON, and what python3's own parser says of them.

mutate.py make N SEED FILES... >texts     writes N texts, as json.c reads them
mutate.py check texts <verdicts           compares; ends with 1 at a difference
"""

import json
import random
import struct
import sys

SEEDS = [
    b'{"a":1,"b":[true,false,null],"c":{"d":"e"}}',
    b'[0,-0,1.5,1e5,1E-5,-1.25e+300,123456789012345678901234567890]',
    '{"é":"½😀\\ud83d\\ude00\\u0000\\ud800","":[]}'.encode(),
    b' \t\r\n[ [ ] , { } , "" ] \n',
    b'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"',
    b"[" * 126 + b"1" + b"]" * 126,
    b'{"a":' * 127 + b"{}" + b"}" * 127,
]
BITS = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b".", b"e",
    b"E+", b"1", b" ", b"\n", b"\x00", b"\x1f", b"\x7f", b"\x80", b"\xbf",
    b"\xc0\x80", b"\xc3\xa9", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\xe2\x82\xac", b"\xf0\x9f\x98\x80", b"\xef\xbb\xbf", b"\\u", b"\\ud800",
    b"\\u0000", b"\\/", b"true", b"null", b"NaN", b"01", b"1.", b"/**/",
    b"xxxxxxxxxxxxxxxx", b'"a":1', b"[[[[", b"]]]]", b"'", b"\x0b", b"\xa0",
]


def mutate(rnd, seeds):
    text = rnd.choice(seeds)
    for _ in range(rnd.choice((0, 1, 1, 1, 2, 3, 8))):
        at = rnd.randint(0, len(text))
        end = min(len(text), at + rnd.choice((0, 0, 1, 1, 2, 7)))
        kind = rnd.randrange(5)
        if kind == 0:
            new = b""
        elif kind == 1:
            new = bytes([rnd.randrange(256)])
        elif kind == 2:
            other = rnd.choice(seeds)
            start = rnd.randint(0, len(other))
            new = other[start : start + rnd.randint(0, 20)]
        else:
            new = rnd.choice(BITS)
        text = text[:at] + new + text[end:]
        if rnd.randrange(40) == 0:
            text = text[: rnd.randint(0, len(text))]
    return text


def refuse(word):
    raise ValueError(word)


def depth(value):
    todo, deepest = [(value, 1)], 0
    while todo:
        v, d = todo.pop()
        if isinstance(v, (list, dict)):
            deepest = max(deepest, d)
            todo += [(x, d + 1) for x in (v.values() if isinstance(v, dict) else v)]
    return deepest


def pairs(members):
    """An object with every member, those that are there twice as well."""
    return {(i, k): v for i, (k, v) in enumerate(members)}


def verdict(text):
    try:
        value = json.loads(
            text.decode("utf-8", "strict"),
            parse_constant=refuse,
            parse_int=str,
            parse_float=str,
            object_pairs_hook=pairs,
        )
    except (ValueError, RecursionError):
        return "no"
    if depth(value) > 128:
        return "no"
    if isinstance(value, dict):
        return "yes { %d" % len(value)
    if isinstance(value, list):
        return "yes [ %d" % len(value)
    return "yes"


def texts(stream):
    while head := stream.read(4):
        yield stream.read(struct.unpack(">I", head)[0])


def main():
    if sys.argv[1] == "make":
        rnd = random.Random(int(sys.argv[3]))
        seeds = list(SEEDS)
        for path in sys.argv[4:]:
            with open(path, "rb") as f:
                seeds += [line.rstrip(b"\r\n") for line in f if len(line) < 2000]
        for _ in range(int(sys.argv[2])):
            text = mutate(rnd, seeds)
            sys.stdout.buffer.write(struct.pack(">I", len(text)) + text)
        return 0
    bad = yes = total = 0
    with open(sys.argv[2], "rb") as f:
        for text, line in zip(texts(f), sys.stdin, strict=True):
            want = verdict(text)
            total += 1
            yes += want != "no"
            if line.split()[0] != want.split()[0] or (
                len(want) > 3 and line.strip() != want
            ):
                bad += 1
                print("not the same: %r: python %s, json_scan %s" % (text, want, line))
    print("%d texts, %d of them JSON, %d not the same" % (total, yes, bad))
    return bad > 0 or total == 0


if __name__ == "__main__":
    sys.exit(main())
