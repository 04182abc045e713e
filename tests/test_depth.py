"""Deep data: depth is bounded by the engine's own limit and not by the thread's stack.

Issues: gh-128590 and gh-112282 (deep data that 3.11 pickled fails from 3.12 on, since the limit of C
is apart from `sys.setrecursionlimit`). C's `_pickle` cannot be the reference here; the shape of the
bytes is known, and C's loader, which has no recursion, reads them. What may take much memory, or
crash, runs in a child process.
"""

from __future__ import annotations

import io
import pickletools
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from support import PROTOCOLS, agree, c, child_ok, ox

DEEP = 1_000_000

#: The limit of the children that run into it, and of those that must not.
LOW = 10_000
DEFAULT = ""

PRELUDE = """
import collections, functools, gc, io, os, sys, types
gc.disable()  # nothing here is garbage before the child ends

def limit(value):
    if value:
        os.environ["OXIPICKLE_MAX_DEPTH"] = value
    else:
        os.environ.pop("OXIPICKLE_MAX_DEPTH", None)

limit(sys.argv[1])
from support import c, ox

class Node:
    pass

class Slot:
    __slots__ = ("next",)

class Reduced:
    def __init__(self, next=None):
        self.next = next
    def __reduce__(self):
        return Reduced, (self.next,)

class Stated:
    def __getstate__(self):
        return (self.next,)
    def __setstate__(self, state):
        self.next, = state

class StatedTwice:
    __slots__ = ("next",)
    def __getstate__(self):
        return (None, {"next": self.next})

class Chained(list):
    pass

class Keyed(dict):
    pass

def linked(cls):
    def wrap(inner):
        outer = cls.__new__(cls)
        outer.next = inner
        return outer
    return wrap

def appended(inner):
    outer = Chained()
    outer.append(inner)
    return outer

def keyed(inner):
    outer = Keyed()
    outer["k"] = inner
    return outer

def first(outer):
    return outer[0]

def inside(outer):
    return outer.next

# kind -> (put one level around, take it off)
WRAP = {
    "list": (lambda inner: [inner], first),
    "list of more": (lambda inner: [1, inner, 2], lambda outer: outer[1]),
    "tuple": (lambda inner: (inner,), first),
    "tuple of more": (lambda inner: (1, 2, 3, inner), lambda outer: outer[3]),
    "dict": (lambda inner: {"k": inner}, lambda outer: outer["k"]),
    "dict of more": (lambda inner: {"a": 1, "k": inner}, lambda outer: outer["k"]),
    "frozenset": (lambda inner: frozenset([inner]), lambda outer: next(iter(outer))),
    "sets in tuples": (
        lambda inner: (frozenset([inner]),), lambda outer: next(iter(outer[0]))
    ),
    "instance": (linked(Node), inside),
    "slots": (linked(Slot), inside),
    "reduce value": (linked(Reduced), inside),
    "state": (linked(Stated), inside),
    "pair of states": (linked(StatedTwice), inside),
    "list subclass": (appended, first),
    "dict subclass": (keyed, lambda outer: outer["k"]),
    # Reducers written in C, called or known.
    "deque": (lambda inner: collections.deque([inner]), first),
    "ordered dict": (
        lambda inner: collections.OrderedDict(k=inner), lambda outer: outer["k"]
    ),
    "default dict": (
        lambda inner: collections.defaultdict(None, k=inner), lambda outer: outer["k"]
    ),
    "namespace": (lambda inner: types.SimpleNamespace(next=inner), inside),
    "partial": (lambda inner: functools.partial(print, inner), lambda outer: outer.args[0]),
    "exception": (lambda inner: ValueError(inner), lambda outer: outer.args[0]),
    "iterator": (lambda inner: iter([inner]), next),
}

def build(kind, depth):
    wrap, _ = WRAP[kind]
    obj = "end"
    for _ in range(depth):
        obj = wrap(obj)
    return obj

def measure(kind, obj):
    # Takes the object to pieces from the outside: dropping it whole could recurse in the
    # interpreter, which is no matter of ours.
    _, unwrap = WRAP[kind]
    depth = 0
    while type(obj) is not str:
        obj = unwrap(obj)
        depth += 1
    return depth
"""


#: What Linux gives the main thread as a rule, even where the machine gives more.
STACK = """
if sys.platform.startswith("linux"):
    import resource
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    if os.environ.get("STACK_IS_SET") != "yes":
        resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, hard))
        os.environ["STACK_IS_SET"] = "yes"
        os.execv(sys.executable, sys.orig_argv)
"""


def child(code: str, *args: str) -> str:
    return child_ok(PRELUDE + code, *args)


ROUND_TRIP = """
kind, depth, protocol = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
obj = build(kind, depth)  # kept: to free it is the interpreter's own business
stream = ox.dumps(obj, protocol)
assert measure(kind, ox.loads(stream)) == depth
if sys.argv[5] == "and C":
    assert measure(kind, c.loads(stream)) == depth
print("ok", flush=True)
os._exit(0)
"""


KINDS = [
    "list", "tuple", "dict", "frozenset", "sets in tuples", "instance", "slots", "reduce value",
    "state", "pair of states", "list subclass", "dict subclass", "deque", "ordered dict",
    "default dict", "namespace", "partial", "exception", "iterator",
]  # fmt: skip

#: deque and defaultdict are not among these: the interpreter recurses when it frees them, wherever
#: they come from.
FREED_KINDS = [
    "list", "tuple", "dict", "sets in tuples", "instance", "slots", "reduce value", "state",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_million_levels(kind: str) -> None:
    """gh-128590: dumped and loaded again, under the default limit and with 8 MiB of stack."""
    assert child(STACK + ROUND_TRIP, DEFAULT, kind, str(DEEP), "5", "alone").strip() == "ok"


FREED = """
kind, depth = sys.argv[2], int(sys.argv[3])
loaded = ox.loads(ox.dumps(build(kind, depth), 5))
del loaded
gc.collect()
print("ok", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("kind", FREED_KINDS)
def test_a_million_levels_that_were_loaded_can_be_freed(kind: str) -> None:
    assert child(STACK + FREED, DEFAULT, kind, str(DEEP)).strip() == "ok"


PEAK = """
kind, depth = sys.argv[2], int(sys.argv[3])
obj = build(kind, depth)

def peak(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field))

before = peak("VmRSS:")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
stream = ox.dumps(obj, 5)
dumped = peak("VmHWM:") - before
del obj
before = peak("VmRSS:")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
loaded = ox.loads(stream)
print(dumped, peak("VmHWM:") - before, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets the peak in /proc back")
@pytest.mark.parametrize("kind", ["list", "dict", "instance", "reduce value", "state"])
def test_memory_grows_with_depth_and_not_faster(kind: str) -> None:
    """Four times the depth takes four times the memory, give or take a doubling of a vector."""
    quarter = child(PEAK, DEFAULT, kind, str(DEEP // 4))
    whole = child(PEAK, DEFAULT, kind, str(DEEP))
    for little, much in zip(quarter.split(), whole.split(), strict=True):
        assert int(much) <= 8 * int(little) + 20_000, (quarter, whole)
        assert int(much) * 1024 <= 700 * DEEP, "bytes a level"


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "instance"])
def test_deep_at_every_protocol(kind: str, protocol: int) -> None:
    out = child(ROUND_TRIP, DEFAULT, kind, "50000", str(protocol), "and C")
    assert out.strip() == "ok"


@pytest.mark.parametrize(
    "kind",
    [
        "list of more",
        "tuple of more",
        "dict of more",
        "slots",
        "reduce value",
        "state",
        "list subclass",
        "sets in tuples",
        "frozenset",
    ],
)
def test_deep_in_other_ways(kind: str) -> None:
    """Every form that holds a child, far below any stack that C could use."""
    out = child(ROUND_TRIP, DEFAULT, kind, "100000", "4", "and C")
    assert out.strip() == "ok"


# --- the limit of our own -------------------------------------------------------------------


LIMITED = """
kind = sys.argv[2]
error = None
try:
    ox.dumps(build(kind, 3 * int(sys.argv[1])))
except RecursionError as caught:
    error = caught
assert error is not None, "no RecursionError"
assert ox.dumps(build(kind, 100)) == c.dumps(build(kind, 100))
print(len(getattr(error, "__notes__", ())), len("".join(getattr(error, "__notes__", ()))), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(
    "kind", ["list", "tuple", "dict", "instance", "reduce value", "state", "list subclass"]
)
def test_the_limit_is_a_recursion_error(kind: str) -> None:
    """Beyond OXIPICKLE_MAX_DEPTH; the engine works on, and the path in the notes stays short."""
    count, size = map(int, child(LIMITED, str(LOW), kind).split())
    # Fifty levels at each end, up to three notes each, and how many are between them.
    assert count <= 301 and size < 50_000


DEEP_FAILURE = """
class Fails:
    def __reduce__(self):
        raise LookupError("at the end")

obj = Fails()
for i in range(DEPTH := int(sys.argv[2])):
    obj = [i, obj]
try:
    ox.dumps(obj)
except LookupError as error:
    notes = error.__notes__
assert notes[:50] == notes[-50:] == ["when serializing list item 1"] * 50
print(len(notes), notes[50])
os._exit(0)
"""


def test_notes_on_a_deep_failure_are_few() -> None:
    """A million levels: the first and the last fifty, and how many are between."""
    out = child(DEEP_FAILURE, DEFAULT, str(DEEP)).strip()
    assert out == f"101 ({DEEP - 100} levels are left out here)"


ENDLESS = """
class Endless:
    def __reduce__(self):
        return Endless, (Endless(),)

class EndlessState:
    def __getstate__(self):
        return EndlessState()

class EndlessHook(ox.Pickler):
    def reducer_override(self, obj):
        return list, ([object()],)

def run(name):
    out = io.BytesIO()
    if name == "reduce":
        ox.dumps(Endless())
    elif name == "state":
        ox.dumps(EndlessState())
    elif name == "reducer_override":
        EndlessHook(out).dump(object())
    elif name == "dispatch_table":
        pickler = ox.Pickler(out)
        pickler.dispatch_table = {object: lambda obj: (list, ([object()],))}
        pickler.dump(object())

try:
    run(sys.argv[2])
except RecursionError:
    assert ox.dumps([1, {}]) == c.dumps([1, {}])
    print("RecursionError", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("name", ["reduce", "state", "reducer_override", "dispatch_table"])
def test_an_endless_chain_ends(name: str) -> None:
    """A reduce value that makes the next object for ever ends in RecursionError, not in swap."""
    assert child(ENDLESS, str(LOW), name).strip() == "RecursionError"


def test_the_pickler_that_ran_into_the_limit_is_usable() -> None:
    code = """
pickler = ox.Pickler(io.BytesIO())
try:
    pickler.dump(build("list", 3 * int(sys.argv[1])))
except RecursionError:
    pickler.clear_memo()
    pickler.dump([1])
    print(len(pickler.memo.copy()), flush=True)
os._exit(0)
"""
    assert child(code, str(LOW)).strip() == "1"


def test_a_limit_that_is_no_number_is_not_one() -> None:
    code = """
assert measure("list", ox.loads(ox.dumps(build("list", 50000)))) == 50000
print("ok", flush=True)
os._exit(0)
"""
    assert child(code, "many").strip() == "ok"


# --- what depth must not change -------------------------------------------------------------


def levels(make: Callable[[Any], Any], depth: int, end: Any = "end") -> Any:
    obj = end
    for _ in range(depth):
        obj = make(obj)
    return obj


class Link:
    def __init__(self, next: Any) -> None:
        self.next = next


class ByReduce(Link):
    def __reduce__(self) -> Any:
        return ByReduce, (self.next,)


def count(stream: bytes, name: str) -> int:
    return sum(opcode.name == name for opcode, _, _ in pickletools.genops(stream))


SHALLOW: dict[str, Callable[[Any], Any]] = {
    "list": lambda inner: [inner],
    "tuple": lambda inner: (inner,),
    "dict": lambda inner: {1: inner},
    "set": lambda inner: frozenset([inner]),
    "instance": Link,
    "reduce value": ByReduce,
    "turns": lambda inner: [(inner, {2: inner})],
}


@pytest.mark.parametrize("depth", [10, 49, 50, 51, 99, 100, 101, 150])
@pytest.mark.parametrize("kind", SHALLOW)
def test_bytes_do_not_depend_on_depth(kind: str, depth: int) -> None:
    """Same bytes as C, as deep as C goes everywhere."""
    obj = levels(SHALLOW[kind], depth)
    for protocol in PROTOCOLS:
        agree(ox.dumps(obj, protocol), c.dumps(obj, protocol), f"protocol {protocol}")


def fast_dump(mod: Any, obj: Any, protocol: int) -> bytes:
    out = io.BytesIO()
    pickler = mod.Pickler(out, protocol)
    pickler.fast = True
    pickler.dump(obj)
    return out.getvalue()


@pytest.mark.parametrize("depth", [49, 50, 51, 100])
@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "instance"])
def test_fast_mode_at_its_depth(kind: str, depth: int) -> None:
    """Fast mode has no memo and from 50 levels on watches for cycles."""
    obj = levels(SHALLOW[kind], depth)
    for protocol in PROTOCOLS:
        agree(fast_dump(ox, obj, protocol), fast_dump(c, obj, protocol), f"protocol {protocol}")


SMALL_STACK = """
import threading
done = []
# To free such a thing takes more stack than the thread has, on some versions: the interpreter's own business.
kept = []

def work():
    kept.append(build(sys.argv[2], int(sys.argv[3])))
    kept.append(ox.loads(ox.dumps(kept[0], 5)))
    done.append(measure(sys.argv[2], kept[1]))

threading.stack_size(256 * 1024)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(done, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("kind", ["list", "instance", "reduce value", "state"])
def test_a_million_levels_in_a_thread_with_little_stack(kind: str) -> None:
    assert child(SMALL_STACK, DEFAULT, kind, str(DEEP)).strip() == f"[{DEEP}]"


def test_a_small_stack_is_enough() -> None:
    """A thread with 256 KiB of stack saves and loads 20,000 levels."""
    obj = levels(SHALLOW["turns"], 4)
    deep = levels(SHALLOW["list"], 20_000)
    found: list[Any] = []

    def work() -> None:
        found.append(ox.dumps(obj))
        stream = ox.dumps(deep)
        found.append(stream)
        # Kept alive: to free it is the interpreter's own business.
        found.append(ox.loads(stream))

    old = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
    finally:
        threading.stack_size(old)
    thread.join()
    assert len(found) == 3
    assert found[0] == c.dumps(obj)
    assert count(found[1], "APPEND") == 20_000


@pytest.mark.parametrize("recursion_limit", [200, 1000])
def test_the_recursion_limit_of_python_plays_no_part(recursion_limit: int) -> None:
    """gh-112282: deep data is no matter of how much Python code may nest."""
    obj = levels(SHALLOW["list"], 5000)
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(recursion_limit)
    try:
        stream = ox.dumps(obj)
    finally:
        sys.setrecursionlimit(old)
    assert count(stream, "EMPTY_LIST") == 5000


def test_python_recursion_inside_a_reducer_is_an_error_and_passes_through() -> None:
    """`dumps` inside `__reduce__` inside `dumps` is recursion of the program and stays limited."""

    class Nested:
        def __reduce__(self) -> Any:
            ox.dumps(Nested())
            raise AssertionError("not reached")

    with pytest.raises(RecursionError):
        ox.dumps(Nested())
    assert ox.dumps((1, 2)) == c.dumps((1, 2))
