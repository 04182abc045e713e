"""Streams that are cheap to write and dear to believe: memory in proportion to what has arrived.

Lengths and single indices are in `test_load.py`; here are floods of small opcodes, and sources that
misbehave in the middle. Each child may use little more memory than it starts with.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from support import Raised, attempt, c, child_ok, ox

MIB = 1 << 20

#: Opcodes again and again -> how many bytes of memory one byte of the stream may take: the objects
#: that are asked for, and a stack or memo that may have doubled just now.
FLOODS: dict[str, tuple[bytes, int]] = {
    "MARK": (b"(", 32),
    "DUP": (b"2", 32),
    "NONE": (b"N", 32),
    "MARK and POP_MARK": (b"(1", 8),
    "EMPTY_TUPLE": (b")", 32),
    "EMPTY_LIST": (b"]", 160),
    "EMPTY_DICT": (b"}", 160),
    "EMPTY_DICT and MARK": (b"}(", 160),
    "MEMOIZE": (b"\x94", 48),
    "BINGET": (b"h\x00", 24),
    "TUPLE2 of the same": (b"2\x86", 64),
    "nested tuples": (b"\x85", 160),
    "DUP and APPEND to itself": (b"2a", 32),
    "FRAME of nothing": (b"\x95" + bytes(8), 8),
    "PROTO": (b"\x80\x04", 8),
    "empty bytes": (b"C\x00", 64),
}
LEAST = 2 * MIB

FLOOD = """
import io, os, sys
from support import Raised, attempt, c, ox
from test_hostile import FLOODS, LEAST, MIB

name, read = sys.argv[1:]
once, factor = FLOODS[name]
stream = b"\\x80\\x04]q\\x00" + once * (LEAST // len(once))

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

before = peak()
if read == "loads":
    outcome = attempt(ox.loads, stream)
else:
    outcome = attempt(ox.load, io.BufferedReader(io.BytesIO(stream)))
assert isinstance(outcome, Raised) and outcome.type in (EOFError, c.UnpicklingError), outcome
used = peak() - before
assert used < factor * LEAST + 8 * MIB, (used, factor * LEAST)
assert ox.loads(c.dumps([1])) == [1]
print("ok", flush=True)
os._exit(0)  # to free nested tuples is the interpreter's own business
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
@pytest.mark.parametrize("read", ["loads", "load"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_takes_memory_in_proportion(name: str, read: str) -> None:
    assert child_ok(FLOOD, name, read).strip() == "ok"


SPARSE = """
import resource, sys
from support import attempt, c, ox

def put(index):
    return b"r" + index.to_bytes(4, "little")

with open("/proc/self/statm") as file:
    limit = int(file.read().split()[0]) * resource.getpagesize() + (128 << 20)
stream = b"N" + b"".join(put(i * 4099 % 2**32) for i in range(500_000)) + b"."
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
assert ox.loads(stream) is None
unpickler = ox.Unpickler(__import__("io").BytesIO(stream * 2))
assert unpickler.load() is None
assert unpickler.load() is None
print("ok")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its memory")
def test_many_memo_indices_far_apart() -> None:
    """2.5 MB of PUTs whose indices go up to 2**31, in 128 MiB."""
    assert child_ok(SPARSE).strip() == "ok"


# --- sources ----------------------------------------------------------------------------------


class Source:
    """A file that gives what it is told to give, piece by piece; the last one again and again."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = list(pieces)

    def read(self, size: int = -1) -> Any:
        piece = self.pieces.pop(0) if len(self.pieces) > 1 else self.pieces[0]
        return piece(size) if callable(piece) else piece

    readline = read


def fail(size: int) -> Any:
    raise OSError("the line is dead")


GOOD = b"\x80\x02](K\x01K\x02e."

#: Answers of `read` that a source gives in the middle of a load.
ANSWERS: dict[str, tuple[Any, ...]] = {
    "short": (b"\x80", b"", b""),
    "too much": (GOOD, GOOD, GOOD),
    "far too much": (b"\x80" * MIB,),
    "a str": ("text",),
    "None": (None,),
    "a bytearray": (bytearray(b"\x80"), bytearray(b"\x02"), bytearray(b"."), bytearray(b"N")),
    "a memoryview": (memoryview(b"N"), memoryview(b".")),
    "a view with steps": (memoryview(b"N.N.")[::2],),
    "an int": (5,),
    "raises": (b"\x80", fail),
    "raises at once": (fail,),
    "large and short": (b"B", b"\x00\x00\x10\x01", b"abc", b""),
    "large and raises": (b"B", b"\x00\x00\x10\x01", fail),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_source_that_misbehaves_ends_in_the_error_of_c(name: str) -> None:
    for load in (
        lambda mod, source: mod.load(source),
        lambda mod, source: mod.Unpickler(source).load(),
    ):
        ours = attempt(load, ox, Source(*ANSWERS[name]))
        theirs = attempt(load, c, Source(*ANSWERS[name]))
        if isinstance(theirs, Raised):
            assert isinstance(ours, Raised) and ours[:2] == theirs[:2]
        else:
            assert ours == theirs


@pytest.mark.parametrize("name", ANSWERS)
def test_the_unpickler_is_usable_after_a_source_that_misbehaves(name: str) -> None:
    unpickler = ox.Unpickler(Source(*ANSWERS[name]))
    attempt(unpickler.load)
    unpickler.__init__(io.BytesIO(GOOD))
    assert unpickler.load() == [1, 2]


@pytest.mark.parametrize("size", [100, 70_000, 3 * MIB])
def test_a_source_that_blocks_and_gives_little(size: int) -> None:
    """Through a pipe, a few bytes at a time, from another thread that can run meanwhile."""
    obj = [b"x" * size, "y" * size, {"k": [1] * 10}]
    stream = c.dumps(obj, 5)
    reading, writing = os.pipe()

    def feed() -> None:
        with open(writing, "wb", buffering=0) as out:
            step = max(1, size // 50)
            for start in range(0, len(stream), step):
                out.write(stream[start : start + step])

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        with open(reading, "rb") as source:
            assert ox.load(source) == obj
    finally:
        thread.join()


@pytest.mark.parametrize("after", [1, 2, 3, 5, 8])
def test_a_source_that_is_closed_under_us(after: int) -> None:
    """`read` closes the file that it reads from."""

    def run(mod: Any) -> Any:
        inner = io.BufferedReader(io.BytesIO(c.dumps([b"x" * 100, "y" * 100_000, 1.5], 2)), 16)
        left = after

        class Closes:
            def read(self, size: int) -> bytes:
                nonlocal left
                left -= 1
                data = inner.read(size)
                if not left:
                    inner.close()
                return data

            def readline(self) -> bytes:
                return inner.readline()

        return attempt(mod.load, Closes())

    ours, theirs = run(ox), run(c)
    assert isinstance(ours, Raised) and ours.type is ValueError
    assert ours[:2] == theirs[:2]


def readers() -> dict[str, Callable[[Any], Any]]:
    return {"bytes": bytes, "bytearray": bytearray, "memoryview": memoryview}


@pytest.mark.parametrize("kind", readers())
def test_a_bad_stream_leaves_its_buffer_free(kind: str) -> None:
    """What was given to `loads` is not held after an error."""
    data = bytearray(b"](K\x01\xff")
    assert isinstance(attempt(ox.loads, readers()[kind](data)), Raised)
    data.extend(b"more")
