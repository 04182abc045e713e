"""Fuzzes dumping: one object graph is dumped by C and by us, and what was written is loaded by both.

An input is three bytes, the way to dump, the protocol and details, and then the choices of `graphs.py`.
The outcomes must be the same: bytes, calls of `write` and of the hooks, out-of-band buffers, or
the same exception with the same text and notes. Half of the time both dump one object, and half of the time
each gets one of its own that nobody else refers to.
"""

from __future__ import annotations

import collections
import gc
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import classes
import graphs
import loading
from drive import IDLE, OURS, THEIRS
from support import PROTOCOLS, Raised, Recorder, attempt, c, ox, same_error

Way = Callable[[Any, Any, int, int, list[Any]], Any]


def _dumps(mod: Any, value: Any, protocol: int, detail: int, log: list[Any]) -> Any:
    return mod.dumps(value, protocol, fix_imports=detail % 4 != 3)


def _dump(mod: Any, value: Any, protocol: int, detail: int, log: list[Any]) -> Any:
    file = Recorder()
    outcome = attempt(mod.dump, value, file, protocol, fix_imports=detail % 4 != 3)
    # A large str is handed over as it is, and not as a copy.
    log += [("bytes" if kind is memoryview else kind.__name__, data) for kind, data in file.calls]
    return outcome


def _dump_failing(mod: Any, value: Any, protocol: int, detail: int, log: list[Any]) -> Any:
    file = Recorder()
    left = [detail % 5]
    write = file.write

    def failing(data: Any) -> int:
        if not left[0]:
            raise LookupError("disk full")
        left[0] -= 1
        return write(data)

    file.write = failing  # type: ignore[method-assign]
    outcome = attempt(mod.Pickler(file, protocol).dump, value)
    log += [data for _, data in file.calls]
    return outcome


def _pickler(mod: Any, value: Any, protocol: int, detail: int, log: list[Any]) -> Any:
    file = Recorder()
    pickler = mod.Pickler(file, protocol)
    outcomes = []
    for i in range(3):
        if detail & 1 << i:
            pickler.clear_memo()
        if detail & 8 << i:
            pickler.fast = not pickler.fast and detail & 64 != 0
        outcomes.append(attempt(pickler.dump, value))
        log += [file.getvalue(), sorted(index for index, _ in pickler.memo.copy().values())]
        if isinstance(outcomes[-1], Raised):
            return outcomes[-1]
    return None


def _hooked(mod: Any, value: Any, protocol: int, detail: int, log: list[Any]) -> Any:
    class Hooked(mod.Pickler):
        if detail & 1:

            def persistent_id(self, obj: Any) -> Any:
                log.append(("persistent_id", type(obj)))
                kept = (
                    isinstance(obj, (classes.Child, classes.Mode)) or obj is value and detail & 64
                )
                return ("id", detail) if kept else None

        if detail & 2:

            def reducer_override(self, obj: Any) -> Any:
                log.append(("reducer_override", type(obj)))
                if isinstance(obj, classes.Plain):
                    return classes.make, ("override",), None, iter([obj.__dict__])
                if isinstance(obj, classes.Data) and detail & 32:
                    raise LookupError("reducer_override fails")
                return NotImplemented

        if detail & 4:
            dispatch_table = {
                classes.Slots: lambda obj: (classes.make, (getattr(obj, "a", None),)),
                set: lambda obj: (classes.make, ("a set",)),
                classes.Failure: lambda obj: "make",
            }

    file = Recorder()
    pickler = Hooked(file, protocol)
    if detail & 8:
        pickler.dispatch_table = collections.ChainMap({complex: lambda obj: (classes.make, ())})
    outcome = attempt(pickler.dump, value)
    log.append(file.getvalue())
    if detail & 16 and not isinstance(outcome, Raised):
        outcome = attempt(pickler.dump, [value])
        log.append(file.getvalue())
    return outcome


def _buffers(mod: Any, value: Any, protocol: int, detail: int, log: list[Any]) -> Any:
    buffers: list[Any] = []

    def callback(buffer: Any) -> Any:
        buffers.append(bytes(buffer.raw()))
        if detail & 4 and len(buffers) == 2:
            raise LookupError("the callback fails")
        return bool(detail & len(buffers) % 4)

    outcome = attempt(mod.dumps, value, max(protocol, 4), buffer_callback=callback)
    log += buffers
    return outcome


WAYS: list[Way] = [_dumps, _dumps, _dumps, _dump, _pickler, _hooked, _hooked, _buffers]
WAYS += [_dump_failing]


class Target:
    """See `drive.py`, which calls these methods."""

    def __init__(self) -> None:
        self.notes: collections.Counter[str] = collections.Counter()
        self._loading = loading.Target(restricted=False)

    def seeds(self) -> list[bytes]:
        rng = random.Random(0)
        return [rng.randbytes(rng.choice((4, 8, 16, 40, 120))) for _ in range(500)]

    def mutate(self, data: bytes, other: bytes, rng: random.Random) -> bytes:
        head = data[:3]
        if rng.random() < 0.3 or len(head) < 3:
            head = rng.randbytes(3)
        return head + graphs.mutate(data[3:], other[3:], rng)

    def parts(self, data: bytes) -> tuple[bytes, list[bytes]]:
        return data[:3], [data[i : i + 1] for i in range(3, len(data))]

    def whole(self, head: bytes, parts: list[bytes]) -> bytes:
        return head + b"".join(parts)

    def describe(self, data: bytes) -> str:
        way, protocol, detail, _ = self._read(data)
        shown = attempt(repr, graphs.Graph(data[3:]).value())
        return f"{way.__name__} protocol {protocol} detail {detail}: {shown!r:.600} of {data.hex()}"

    def restore(self) -> None:
        """Nothing here changes a class."""

    def _read(self, data: bytes) -> tuple[Way, int, int, bool]:
        head = data[:3].ljust(3, b"\0")
        return WAYS[head[0] % len(WAYS)], head[1] % len(PROTOCOLS), head[2], head[1] < 128

    def ours_alone(self, data: bytes) -> None:
        way, protocol, detail, _ = self._read(data)
        attempt(way, ox, graphs.Graph(data[3:]).value(), protocol, detail, [])

    def leak(self, data: bytes, turn: Callable[[int], None]) -> str | None:
        """Whether dumping this again and again leaves more and more blocks behind, and C does not."""
        way, protocol, detail, _ = self._read(data)
        times = 24

        def grown(mod: Any) -> int:
            gc.collect()
            before = sys.getallocatedblocks()
            for _ in range(times):
                attempt(way, mod, graphs.Graph(data[3:]).value(), protocol, detail, [])
            gc.collect()
            return sys.getallocatedblocks() - before

        turn(OURS)
        start = time.perf_counter()
        self.ours_alone(data)
        if time.perf_counter() - start > 0.001:
            return None
        if any(grown(ox) < times for _ in range(16)):
            return None
        turn(THEIRS)
        if grown(c) >= times:
            return None
        return f"each {times} dumps leave {times} blocks or more behind"

    def run(
        self,
        data: bytes,
        turn: Callable[[int], None],
        *,
        c_first: bool = True,
        careful: bool = False,
    ) -> str | None:
        """What differs; nothing here changes a class, so that each run is *careful*."""
        way, protocol, detail, shared = self._read(data)
        graph = graphs.Graph(data[3:])
        one = graph.value()
        shared = shared and not graph.changes
        outcomes: dict[bool, Any] = {}
        logs: dict[bool, list[Any]] = {True: [], False: []}
        # Whoever goes first sees the object untouched; so the order is a choice as well.
        first = c_first == bool(detail & 128)
        for is_c in (first, not first):
            turn(IDLE)
            value = one if shared else graphs.Graph(data[3:]).value()
            turn(THEIRS if is_c else OURS)
            outcomes[is_c] = attempt(way, c if is_c else ox, value, protocol, detail, logs[is_c])
            del value
        theirs, ours = outcomes[True], outcomes[False]
        turn(IDLE)
        if isinstance(theirs, Raised) and theirs.type in (RecursionError, MemoryError):
            self.notes[f"{theirs.type.__name__} in C"] += 1
            return None
        if all(isinstance(one, Raised) for one in (ours, theirs)) and ours.type is RecursionError:
            # A chain without an end, and a file that fails: which of the two comes first depends on the limit.
            self.notes["RecursionError before C fails"] += 1
            return None
        lost = isinstance(theirs, Raised) and theirs.text.startswith("fast mode: ")
        if way is _pickler and (lost or isinstance(theirs, Raised) and theirs.type is KeyError):
            self.notes["C loses count of what is open in fast mode"] += 1
            return None
        if isinstance(ours, Raised) and isinstance(theirs, Raised):
            same = same_error(ours, theirs)
        else:
            same = type(ours) is type(theirs) and ours == theirs
        if not same:
            shown = f"\n  ours   {loading.shown(ours)}\n  theirs {loading.shown(theirs)}"
            return f"{way.__name__}, protocol {protocol}:{shown}"
        if logs[True] != logs[False]:
            shown = f"\n  ours   {logs[False]!r:.600}\n  theirs {logs[True]!r:.600}"
            return f"{way.__name__}, protocol {protocol}, other calls:{shown}"
        if isinstance(ours, bytes) and way is _dumps:
            return self._loading.loaded(ours, turn)
        return None
