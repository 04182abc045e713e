"""The child of `test_mutations.py`: loads mutated streams with us and with C, and compares.

Runs alone: `python mutations.py SEED COUNT START STATE`, where STATE is a file that always holds the
stream being loaded and whose turn it is, so that a crash can be attributed; or `python mutations.py
--one HEX HOW` for one stream. Prints one JSON object a line for each difference. Must not be
imported by anything that goes on living: it installs an audit hook and a memory limit.
"""

from __future__ import annotations

import faulthandler
import io
import json
import mmap
import random
import struct
import sys
import warnings
from typing import Any

import loaders  # noqa: F401 - found by name
import python2_classes  # noqa: F401 - found by name
from corpus import CASES
from streams import FRAMES, STREAMS
from support import (
    C_BOUNDS_LENGTHS,
    C_ENFORCES_FRAMES,
    FRAME_ERRORS,
    PROTOCOLS,
    TESTS,
    WE_ENFORCE_FRAMES,
    Raised,
    attempt,
    c,
    isomorphic,
    ox,
)

STATE_SIZE = 1 << 16
LARGEST = 4000
#: Turns, as written into the state file.
OURS, THEIRS, IDLE = 1, 2, 0
OPCODES = bytes(ord(code) for code in "(.0123FINJKLMPQRSTUVXabcdehgijlmopqrstu}]BCG)")
OPCODES += bytes(range(0x80, 0x99))


class Blocked(Exception):
    """The stream asks for a name that no unmutated stream asks for."""


def sources() -> list[bytes]:
    """Real streams: the corpus at every protocol, those written by hand, Python 2's."""
    found = [data for data in [*STREAMS.values(), *FRAMES.values()] if len(data) <= LARGEST]
    for name, make in CASES.items():
        if name == "message":
            continue  # its library makes classes anew
        for protocol in PROTOCOLS:
            data = attempt(c.dumps, make(), protocol)
            if isinstance(data, bytes) and len(data) <= LARGEST:
                found.append(data)
    found += [path.read_bytes() for path in sorted((TESTS / "data").glob("*.pickle"))]
    return found


def mutate(rng: random.Random, pool: list[bytes]) -> bytes:
    """One to four changes, of the kinds that reach deep: bytes, opcodes, lengths, parts, splices."""
    data = bytearray(rng.choice(pool))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if not data:
            data += b"N."
        at = rng.randrange(len(data))
        kind = rng.randrange(11)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            data[at] = rng.choice(OPCODES)
        elif kind == 3:
            del data[at : at + rng.randrange(1, 9)]
        elif kind == 4:
            data[at:at] = data[at : at + rng.randrange(1, 20)]
        elif kind == 5:
            data[at:at] = bytes(rng.choices(OPCODES, k=rng.randrange(1, 5)))
        elif kind == 6:
            other = rng.choice(pool)
            cut = rng.randrange(len(other) + 1)
            data[at : at + rng.randrange(30)] = other[cut : cut + rng.randrange(60)]
        elif kind == 7:
            data = data[:at] + rng.choice(pool)[rng.randrange(50) :]
        elif kind == 8:
            del data[at:]
        elif kind == 9:
            data[at] = (data[at] + rng.choice((-1, 1))) % 256
        else:
            edge = rng.choice((0, 1, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63))
            data[at : at + 4] = struct.pack("<Q", edge)[: rng.choice((1, 2, 4, 8))]
    return bytes(data[: STATE_SIZE - 16])


class Plain:
    """A file with the least it must have."""

    def __init__(self, data: bytes) -> None:
        inner = io.BytesIO(data)
        self.read, self.readline = inner.read, inner.readline


HOW: dict[str, Any] = {
    "loads": lambda mod, data: mod.loads(data),
    "load": lambda mod, data: mod.load(io.BytesIO(data)),
    "plain file": lambda mod, data: mod.load(Plain(data)),
    "buffered": lambda mod, data: mod.load(io.BufferedReader(io.BytesIO(data), 32)),
    "latin1": lambda mod, data: mod.loads(data, encoding="latin1", fix_imports=False),
    "bytes": lambda mod, data: mod.loads(data, encoding="bytes", buffers=[b"one", bytearray(9)]),
}


def allowed_by(ours: Any, theirs: Any) -> str | None:
    """The rule that lets two outcomes differ, or None. Each is a better or newer behaviour."""
    if isinstance(theirs, Raised) and not C_BOUNDS_LENGTHS:
        # sizes and memo indices that C asks memory for; we read on as far as there is data
        believed = theirs.type is MemoryError or theirs[:2] == (
            OverflowError,
            "byte string is too large",
        )
        if believed and not (isinstance(ours, Raised) and ours.type is MemoryError):
            return "a size was believed"
    if WE_ENFORCE_FRAMES and not C_ENFORCES_FRAMES and isinstance(ours, Raised):
        if ours.type is c.UnpicklingError and ours.text in FRAME_ERRORS:
            return "a newer patch release enforces frames"
    return None


def difference(ours: Any, theirs: Any) -> str | None:
    if isinstance(ours, Raised) and isinstance(theirs, Raised):
        return None if ours.type is theirs.type else "other exceptions"
    if isinstance(ours, Raised) or isinstance(theirs, Raised):
        return "one fails"
    found = attempt(isomorphic, ours, theirs)
    return None if found is None or isinstance(found, Raised) else f"other results {found}"


def shown(outcome: Any) -> str:
    if isinstance(outcome, Raised):
        return f"{outcome.type.__name__}: {outcome.text}"[:200]
    return repr(attempt(repr, outcome))[:200]


def protect(pool: list[bytes]) -> None:
    """Names are limited to those of the unmutated streams; memory to a little more than now."""
    names: set[Any] = set()
    learning = True

    def hook(event: str, args: Any) -> None:
        if event == "pickle.find_class":
            if learning:
                names.add(args)
            elif args not in names:
                raise Blocked(args)

    sys.addaudithook(hook)
    for data in pool:
        attempt(c.loads, data)
        attempt(c.loads, data, encoding="latin1", fix_imports=False)
    learning = False
    names -= {("sys", "exit"), ("sys", "intern"), ("builtins", "print"), ("__builtin__", "print")}
    if sys.platform == "linux":  # elsewhere the limit is not there or not kept
        import resource

        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + (256 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def run(seed: int, count: int, start: int, state: Any) -> None:
    pool = sources()
    protect(pool)
    rng = random.Random(seed)
    ways = list(HOW)
    for number in range(count):
        data = mutate(rng, pool)
        how = ways[number % len(ways)] if number % 3 else "loads"
        if number < start:
            continue
        state[: 16 + len(data)] = (
            struct.pack("<IIII", number, OURS, ways.index(how), len(data)) + data
        )
        if number % 500 == 0:
            faulthandler.dump_traceback_later(60, exit=True)
        ours = attempt(HOW[how], ox, data)
        state[4] = THEIRS
        if sys.platform != "linux" and believes(data):
            continue
        theirs = attempt(HOW[how], c, data)
        state[4] = IDLE
        found = difference(ours, theirs)
        if found and not allowed_by(ours, theirs):
            report(number, how, data, found, ours, theirs)
    print(json.dumps({"done": count}))


def believes(data: bytes) -> bool:
    """Whether some four bytes may be a size that older C allocates: for systems without limits."""
    if C_BOUNDS_LENGTHS:
        return False
    return any(op in data for op in b"rBXTp\x8d\x8e\x96\x95\x8b") and any(
        int.from_bytes(data[i : i + 4], "little") > 1 << 26 for i in range(len(data))
    )


def report(number: int, how: str, data: bytes, found: str, ours: Any, theirs: Any) -> None:
    line = {
        "number": number,
        "how": how,
        "stream": data.hex(),
        "difference": found,
        "ours": shown(ours),
        "theirs": shown(theirs),
    }
    print(json.dumps(line), flush=True)


def one(data: bytes, how: str) -> None:
    """Load a single stream in a fresh process: nothing an earlier stream changed can play a part."""
    protect(sources())
    theirs = attempt(HOW[how], c, data)
    ours = attempt(HOW[how], ox, data)
    found = difference(ours, theirs)
    if found and not allowed_by(ours, theirs):
        report(0, how, data, found, ours, theirs)


def main() -> None:
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(2000)
    if sys.argv[1] == "--one":
        one(bytes.fromhex(sys.argv[2]), sys.argv[3])
        return
    seed, count, start = map(int, sys.argv[1:4])
    with open(sys.argv[4], "r+b") as file, mmap.mmap(file.fileno(), STATE_SIZE) as state:
        run(seed, count, start, state)


if __name__ == "__main__":
    main()
