"""A program: what an operation comes to when the interpreter has no memory at some point of it.

    python tests/no_memory.py NAME ox|c

`_testcapi.set_nomemory` makes the n-th allocation of the interpreter fail, that one alone or all from
there on; n goes up until the operation no longer reaches it. Each n is tried in a process that has
done the operation before, and in a fork of one that has not. Prints the kinds of outcomes, and at how
many n blocks were lost, as JSON.

Started by tests/test_no_memory.py: what aborts ends this process only.
"""

from __future__ import annotations

import _testcapi
import codecs
import gc
import io
import json
import os
import pickle
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

from support import c, ox

#: Times that one n is tried, in search of blocks that are lost each time; twenty times that if so.
ROUNDS = 10
#: n ends when so many in a row have made no difference, and in any case here.
ENOUGH, MOST = 25, 400
#: An allocation that nothing here gets to.
NEVER = 10**9


class Plain:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Slots:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a, self.b = 1, [2]


class Reduced:
    def __reduce__(self) -> Any:
        return Reduced, (), {"k": ["state"]}, iter([1]), iter([("a", 1)])

    def append(self, item: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


class Stated:
    def __getstate__(self) -> Any:
        return ("state", [1])

    def __setstate__(self, state: Any) -> None:
        self.state = state


class NewArgs:
    def __new__(cls, *args: Any, **kwargs: Any) -> NewArgs:
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> Any:
        return (["a"],), {"k": 1}


class Pair(NamedTuple):
    a: int
    b: int


class Colour(Enum):
    RED = 1


# The interpreter itself may hang where it imports a codec without memory.
for _codec in ("ascii", "latin1", "raw-unicode-escape", "utf-8"):
    codecs.lookup(_codec)


def nested(levels: int) -> list[Any]:
    obj: list[Any] = []
    for _ in range(levels):
        obj = [obj]
    return obj


def twice(obj: Any) -> Any:
    return [obj, obj]


OBJECTS: dict[str, Callable[[], Any]] = {
    "builtins": lambda: {"a": [1, 2.5, "x" * 3, b"y", None, (1, 2, 3), {1, 2}, frozenset([3])]},
    "many": lambda: [[1000 + i, str(i), (i,)] for i in range(20)],
    "texts": lambda: ["é€" * 20 + "\udc80", "\n\\" * 50, 2**500, -(2**70), 1e300, bytearray(100)],
    "payloads": lambda: ["x" * 70000, b"z" * 70000],
    "instances": lambda: [Plain(a=i, b=[i]) for i in range(5)] + twice(Slots()) + [Stated()],
    "reducers": lambda: [Reduced(), NewArgs(), twice(Reduced())],
    "library": lambda: [
        *(datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=1))), Decimal("1.5"), UUID(int=5)),
        *(Fraction(1, 3), OrderedDict(a=1), Counter("abc"), deque([1]), Pair(1, 2)),
        *(PurePosixPath("a/b"), SimpleNamespace(a=1), complex(1, 2), range(3), ValueError("x")),
    ],
    "names": lambda: [Colour.RED, len, Plain, Plain.__init__, NotImplemented, type(None)],
    "nested": lambda: nested(40),
    "batches": lambda: [list(range(1005)), {i: i for i in range(1003)}, set(range(1003))],
    "buffers": lambda: [pickle.PickleBuffer(b"x" * 100), pickle.PickleBuffer(bytearray(1000))],
}


class Writer:
    def write(self, data: Any) -> int:
        return len(data)


def subclasses(mod: Any) -> tuple[type, type]:
    class Pickler(mod.Pickler):  # type: ignore[misc, name-defined]
        def persistent_id(self, obj: Any) -> Any:
            return "pid" if obj == (1, 2, 3) else None

    class Unpickler(mod.Unpickler):  # type: ignore[misc, name-defined]
        def persistent_load(self, pid: Any) -> Any:
            return (1, 2, 3)

        def find_class(self, module: str, name: str) -> Any:
            return super().find_class(module, name)

    return Pickler, Unpickler


def dumping(mod: Any) -> dict[str, Callable[[Any, int], Any]]:
    pickler, _ = subclasses(mod)
    return {
        "dumps": lambda obj, protocol: mod.dumps(obj, protocol),
        "dump": lambda obj, protocol: mod.dump(obj, Writer(), protocol),
        "Pickler": lambda obj, protocol: mod.Pickler(io.BytesIO(), protocol).dump(obj),
        "subclass": lambda obj, protocol: pickler(io.BytesIO(), protocol).dump(obj),
        "buffer_callback": lambda obj, protocol: mod.dumps(obj, 5, buffer_callback=[].append),
    }


def loading(mod: Any) -> dict[str, Callable[[bytes], Any]]:
    _, unpickler = subclasses(mod)
    return {
        "loads": lambda data: mod.loads(data),
        "load": lambda data: mod.load(io.BytesIO(data)),
        "Unpickler": lambda data: mod.Unpickler(io.BytesIO(data)).load(),
        "Unpickler subclass": lambda data: unpickler(io.BytesIO(data)).load(),
    }


def others(mod: Any) -> dict[str, Callable[[], Any]]:
    pickler = mod.Pickler(io.BytesIO())
    pickler.dump([["a"], {"b": ("c",)}])
    unpickler = mod.Unpickler(io.BytesIO(c.dumps([["a"], {"b": ("c",)}, Plain(k=[1])])))
    unpickler.load()
    buffer = mod.PickleBuffer(bytearray(10))
    return {
        "Pickler()": lambda: mod.Pickler(io.BytesIO(), 2, fix_imports=False),
        "Unpickler()": lambda: mod.Unpickler(io.BytesIO(), encoding="bytes", buffers=[]),
        "memo.copy": lambda: pickler.memo.copy(),
        "memo.reduce": lambda: pickler.memo.__reduce__(),
        "memo set": lambda: setattr(mod.Pickler(io.BytesIO()), "memo", pickler.memo),
        "Unpickler memo.copy": lambda: unpickler.memo.copy(),
        "Unpickler memo.reduce": lambda: unpickler.memo.__reduce__(),
        "sizeof": lambda: (pickler.__sizeof__(), unpickler.__sizeof__()),
        "find_class": lambda: unpickler.find_class("collections", "OrderedDict"),
        "PickleBuffer": lambda: (mod.PickleBuffer(b"x"), buffer.raw(), memoryview(buffer)),
        "bin": lambda: setattr(pickler, "bin", 1000) or pickler.bin,
    }


def refused(mod: Any) -> dict[str, Callable[[], Any]]:
    """Each raises something else where there is memory."""
    local, generator = lambda: None, (i for i in ())
    return {
        "no class": lambda: mod.loads(b"cbuiltins\nnothing\n."),
        "cut": lambda: mod.loads(b"\x80\x04]\x94(K\x01"),
        "called": lambda: mod.loads(b"cbuiltins\nint\n(Vx\ntR."),
        "local": lambda: mod.dumps(local),
        "generator": lambda: mod.dumps([{"k": generator}]),
        "keyword": lambda: mod.dumps(1, nothing=2),
        "protocol": lambda: mod.dumps(1, 77),
        "deleted": lambda: delattr(mod.Pickler(io.BytesIO()), "memo"),
    }


def operation(name: str, mod: Any) -> Callable[[], Any]:
    """What a name such as `dumps library 4`, `loads names 2` or `memo.copy` stands for."""
    for table in (others(mod), refused(mod)):
        if name in table:
            return table[name]
    way, what, protocol = name.rsplit(" ", 2)
    obj = OBJECTS[what]()
    if way in dumping(mod):
        dump = dumping(mod)[way]
        return lambda: dump(obj, int(protocol))
    data, load = c.dumps(obj, int(protocol)), loading(mod)[way]
    return lambda: load(data)


def outcome(act: Callable[[], Any], first: int, last: int) -> str:
    """What *act* comes to while the allocations after the first *first* fail, up to *last* (0: ever)."""
    _testcapi.set_nomemory(first, last)
    try:
        act()
    except BaseException as error:
        # It is let go at the end of this block: the collector does not see each MemoryError.
        _testcapi.remove_mem_hooks()
        kind = type(error).__name__
        return f"{kind}: {error}" if "oxipickle" in str(error) else kind
    _testcapi.remove_mem_hooks()
    return "done"


def in_fork(act: Callable[[], Any], first: int, last: int) -> str:
    """[`outcome`] of the first time in a process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, outcome(act, first, last).encode()[:4000])
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 4000).decode()
    os.close(reader)
    _, status = os.waitpid(child, 0)
    return said if status == 0 else f"ended with {status}"


def lost(act: Callable[[], Any], first: int) -> bool:
    """Whether a block is lost each time that the allocation *first* fails."""

    def each_time(rounds: int) -> bool:
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(rounds):
            outcome(act, first, first + 1)
        gc.collect()
        return sys.getallocatedblocks() - before >= rounds

    return each_time(ROUNDS) and each_time(20 * ROUNDS)


def main(name: str, which: str) -> None:
    act = operation(name, ox if which == "ox" else c)
    outcomes: Counter[str] = Counter()
    for run in (in_fork, outcome):
        as_ever = run(act, NEVER, 0)
        for every in (False, True):
            n = same = 0
            while same < ENOUGH and n < MOST:
                met = run(act, n, 0 if every else n + 1)
                outcomes[met] += 1
                same = same + 1 if met == as_ever else 0
                n += 1
    gc.freeze()
    leaks = sum(lost(act, n) for n in range(n))
    json.dump({"as ever": as_ever, "outcomes": outcomes, "lost": leaks, "n": n}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
