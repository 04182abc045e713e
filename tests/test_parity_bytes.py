"""Same bytes as C: a corpus of objects, at each protocol, through each way of writing.

Nothing here asserts speed, memory or texts; an object that C refuses must be refused in the same
way. Objects whose reducers change the world mid-dump come second: each is a hazard of writing
without counting references. Then hooks and options of a Pickler, frames, and `write` calls.
"""

from __future__ import annotations

import collections
import copyreg
import functools
import io
import sys
from typing import Any

import pytest

import corpus
import hazards
from corpus import CASES, Node, Outer, Plain, Point, Reduces, Slotted, build
from hazards import HAZARDS
from support import (
    PROTOCOLS,
    WAYS,
    Raised,
    Recorder,
    agree,
    attempt,
    c,
    ox,
    same_bytes,
    write_log,
)

pytestmark = pytest.mark.filterwarnings("ignore:Pickle, copy, and deepcopy:DeprecationWarning")

#: Objects of megabytes: once is enough.
HEAVY = {"more_than_65536_memo_entries", "frames_of_ints", "frames_of_documents", "int_of_70_kb"}
#: The library behind it caches header classes between the first and the second object.
ONE_OBJECT = HEAVY | {"message"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", CASES)
def test_corpus(name: str, protocol: int) -> None:
    same_bytes(CASES[name], [protocol], fresh=name not in ONE_OBJECT)


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize(
    "name", [n for n in CASES if n.startswith(("class_", "function_", "enum"))]
)
def test_corpus_without_fix_imports(name: str, protocol: int) -> None:
    same_bytes(CASES[name], [protocol], fix_imports=False)


@pytest.mark.parametrize("protocol", [-1, None])
def test_protocol_by_default_and_by_minus_one(protocol: int | None) -> None:
    same_bytes(CASES["document"], [protocol])  # type: ignore[list-item]


# --- the world changes in the middle of a dump --------------------------------------------------


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch):
    """Run one hazard with one implementation, from the same starting point each time."""

    def run(mod: Any, name: str, protocol: int, way: str) -> Any:
        dispatch = dict(copyreg.dispatch_table)
        monkeypatch.setattr(hazards.running, "dumps", mod.dumps, raising=False)
        monkeypatch.setattr(hazards.running, "loads", mod.loads, raising=False)
        try:
            return attempt(WAYS[way], mod, HAZARDS[name](), protocol)
        finally:
            copyreg.dispatch_table.clear()
            copyreg.dispatch_table.update(dispatch)
            if (hazards.__name__, "HazardLocal") in copyreg._extension_registry:
                copyreg.remove_extension(hazards.__name__, "HazardLocal", 77)
            corpus.module_function.__qualname__ = "module_function"

    return run


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", HAZARDS)
def test_hazard(name: str, protocol: int, story: Any) -> None:
    for way in WAYS:
        ours = story(ox, name, protocol, way)
        theirs = story(c, name, protocol, way)
        agree(ours, theirs, f"{way}, protocol {protocol}")


# --- hooks ---------------------------------------------------------------------------------------


def pickler_classes() -> dict[str, Any]:
    """Makers of Pickler subclasses; each is called with the module whose turn it is."""

    def persistent_atoms(mod: Any) -> Any:
        class P(mod.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                return f"pid {obj}" if type(obj) in (int, str) else None

        return P

    def persistent_tuples(mod: Any) -> Any:
        class P(mod.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                return ("Node", [1], ("".join(["a", "b"]),)) if isinstance(obj, Node) else None

        return P

    def persistent_falsy(mod: Any) -> Any:
        class P(mod.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                return {1: 0, 2: "", 3: False}.get(obj) if type(obj) is int else None

        return P

    def persistent_everything_seen(mod: Any) -> Any:
        class P(mod.Pickler):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.seen: list[Any] = []

            def persistent_id(self, obj: Any) -> Any:
                self.seen.append(type(obj).__name__)
                return None

            def dump(self, obj: Any) -> None:
                super().dump(obj)
                self.seen_after = list(self.seen)
                super().dump(self.seen_after)

        return P

    def persistent_calls_super(mod: Any) -> Any:
        class P(mod.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                if sys.version_info >= (3, 13):
                    assert super().persistent_id(obj) is None
                return None

        return P

    def persistent_non_ascii(mod: Any) -> Any:
        class P(mod.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                return "né\n" if isinstance(obj, Plain) else None

        return P

    def persistent_fails(mod: Any) -> Any:
        class P(mod.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                if isinstance(obj, Plain):
                    raise LookupError("no id")
                return None

        return P

    def persistent_static(mod: Any) -> Any:
        class P(mod.Pickler):
            @staticmethod
            def persistent_id(obj: Any) -> Any:
                return "static" if type(obj) is float else None

        return P

    def persistent_class_method(mod: Any) -> Any:
        class P(mod.Pickler):
            @classmethod
            def persistent_id(cls, obj: Any) -> Any:
                return cls.__name__ if type(obj) is float else None

        return P

    def override_nothing(mod: Any) -> Any:
        class P(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                return NotImplemented

        return P

    def override_logs(mod: Any) -> Any:
        class P(mod.Pickler):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.seen: list[str] = []

            def reducer_override(self, obj: Any) -> Any:
                self.seen.append(f"{type(obj).__name__} {getattr(obj, '__name__', '')}")
                return NotImplemented

            def dump(self, obj: Any) -> None:
                super().dump(obj)
                super().dump(list(self.seen))

        return P

    def override_instances(mod: Any) -> Any:
        class P(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, Plain):
                    return build, (type(obj).__name__, obj.__dict__)
                return NotImplemented

        return P

    def override_classes(mod: Any) -> Any:
        class P(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, type):
                    return getattr, (Outer, "Inner")
                if obj is corpus.module_function:
                    return "build"
                return NotImplemented

        return P

    def override_string(mod: Any) -> Any:
        class P(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                return "build" if isinstance(obj, Node) else NotImplemented

        return P

    def override_bad(mod: Any) -> Any:
        class P(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                return [] if isinstance(obj, Plain) else NotImplemented

        return P

    def override_none(mod: Any) -> Any:
        class P(mod.Pickler):
            reducer_override = None

        return P

    def override_keeps_temporaries_moving(mod: Any) -> Any:
        class P(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, Plain):
                    return build, ([1], {"k": (2, [3])}), {"s": ["t"]}
                return NotImplemented

        return P

    def table_class_attribute(mod: Any) -> Any:
        class P(mod.Pickler):
            dispatch_table = {Plain: lambda x: (build, ("table",)), complex: lambda z: (build, ())}

        return P

    def table_chain_map(mod: Any) -> Any:
        class P(mod.Pickler):
            dispatch_table = collections.ChainMap(
                {Node: lambda x: (build, ("chained", x.value))}, copyreg.dispatch_table
            )

        return P

    def table_empty(mod: Any) -> Any:
        class P(mod.Pickler):
            dispatch_table: dict[Any, Any] = {}

        return P

    def table_missing(mod: Any) -> Any:
        class Table(dict):
            def __missing__(self, key: Any) -> Any:
                if key in (Plain, Node):
                    return lambda x: (build, (key.__name__,))
                raise KeyError(key)

        class P(mod.Pickler):
            dispatch_table = Table()

        return P

    def table_fails(mod: Any) -> Any:
        class Table(dict):
            def __getitem__(self, key: Any) -> Any:
                raise LookupError("broken") if key is Plain else KeyError(key)

        class P(mod.Pickler):
            dispatch_table = Table()

        return P

    def table_none_value(mod: Any) -> Any:
        class P(mod.Pickler):
            dispatch_table = {Plain: None}

        return P

    def table_is_none(mod: Any) -> Any:
        class P(mod.Pickler):
            dispatch_table = None

        return P

    def table_is_list(mod: Any) -> Any:
        class P(mod.Pickler):
            dispatch_table = [1]

        return P

    def table_metaclass(mod: Any) -> Any:
        class P(mod.Pickler):
            dispatch_table = {corpus.Meta: lambda cls: (build, ("meta",)), type: len, int: len}

        return P

    def table_string(mod: Any) -> Any:
        class P(mod.Pickler):
            dispatch_table = {Plain: lambda x: "build"}

        return P

    def table_changed_by_a_reducer(mod: Any) -> Any:
        class P(mod.Pickler):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                table = self.dispatch_table = copyreg.dispatch_table.copy()

                def once(x: Any) -> Any:
                    table[Plain] = lambda y: (build, ("second", y.__dict__))
                    return build, ("first", x.__dict__)

                table[Plain] = once

        return P

    def table_added_by_a_reducer(mod: Any) -> Any:
        class P(mod.Pickler):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                table = self.dispatch_table = copyreg.dispatch_table.copy()

                def other(x: Any) -> Any:
                    table[Plain] = lambda y: (build, ("added",))
                    return build, ()

                table[Node] = other

        return P

    def table_replaced_by_a_reducer(mod: Any) -> Any:
        class P(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, Node):
                    self.dispatch_table = {Plain: lambda y: (build, ("replaced",))}
                return NotImplemented

        return P

    def fast(mod: Any) -> Any:
        class P(mod.Pickler):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.fast = True

        return P

    def fast_in_the_middle(mod: Any) -> Any:
        class P(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, Node):
                    self.fast = not self.fast
                return NotImplemented

        return P

    def bin_off(mod: Any) -> Any:
        class P(mod.Pickler):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.bin = 0

        return P

    def bin_on(mod: Any) -> Any:
        class P(mod.Pickler):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.bin = 1

        return P

    def memo_cleared_in_the_middle(mod: Any) -> Any:
        class P(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, Node):
                    self.clear_memo()
                return NotImplemented

        return P

    def memo_copied_in_the_middle(mod: Any) -> Any:
        class P(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, Node):
                    entries = sorted(self.memo.copy().values(), key=lambda e: e[0])
                    return build, (len(entries), [i for i, _ in entries])
                return NotImplemented

        return P

    def memo_assigned(mod: Any) -> Any:
        class P(mod.Pickler):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.memo = {0: (300, Plain), 1: (70000, build), 2: (-5, corpus), 3: (9, Node)}

        return P

    def memo_returns_saved_objects(mod: Any) -> Any:
        class P(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, Node):
                    entries = sorted(self.memo.copy().values(), key=lambda e: e[0])
                    return build, tuple(o for _, o in entries if type(o) in (list, dict, tuple))
                return NotImplemented

        return P

    found = dict(locals())
    return {name: value for name, value in found.items() if callable(value)}


PICKLERS = pickler_classes()


def hooked_values() -> dict[str, Any]:
    inner: list[Any] = []
    ring = (inner, [1], "".join(["r", "s"]))
    inner.append(ring)
    return {
        "mixed": lambda: [
            1,
            "two",
            3.0,
            None,
            (1, [2]),
            {"k": Plain(a=[1])},
            {4},
            b"x",
            2,
            3,
            True,
        ],
        "instances": lambda: [Plain(a=1), Node([1]), Plain(b=[2]), Node(2), Plain(a=1), Slotted(1)],
        "names": lambda: [
            Plain,
            corpus.module_function,
            Outer.Inner,
            Node,
            len,
            corpus.OfMeta,
            int,
        ],
        "plain only": lambda: Plain(a=Plain(), b=(Plain(c="x"),)),
        "bytes": lambda: [b"abc", bytearray(b"xyz"), b"", bytearray(), "é"],
        "values": lambda: [1j, Point(1, [2]), corpus.Colour.RED, ..., range(3), type(None)],
        "shared": lambda: [x := Node([1]), x, y := Plain(a=x), y.__dict__, y, [x, (x, y)]],
        "recursive": lambda: [ring, corpus.make_ring(4)],
        "batches": lambda: [list(range(1001)), dict.fromkeys(range(1000)), set(range(1000))],
        "reduces": lambda: [Reduces((build, (1,), {"a": [1]}, iter([1]), iter([(1, 2)])))],
    }


def hooked(mod: Any, make_class: Any, make_obj: Any, protocol: int, dumps: int) -> Any:
    out = io.BytesIO()
    pickler = make_class(mod)(out, protocol)
    obj = make_obj()
    outcome = None
    for _ in range(dumps):
        outcome = attempt(pickler.dump, obj)
        if isinstance(outcome, Raised) and outcome.type is RecursionError:
            return outcome  # how much was written until then differs: ours has more levels
    return outcome if isinstance(outcome, Raised) else out.getvalue()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("hook", PICKLERS)
def test_pickler_hook(hook: str, protocol: int) -> None:
    for name, make in hooked_values().items():
        for dumps in (1, 2):
            if (hook, name, dumps) == ("fast", "recursive", 2):
                continue  # C keeps its count of levels after an error: the second comes sooner
            ours = hooked(ox, PICKLERS[hook], make, protocol, dumps)
            theirs = hooked(c, PICKLERS[hook], make, protocol, dumps)
            agree(ours, theirs, f"{hook} on {name}, {dumps} dumps")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", [n for n in CASES if n not in HEAVY][::5])
def test_fast_mode(name: str, protocol: int) -> None:
    """`fast` writes no memo entries; objects that need one fail in the same way."""
    same_hook(PICKLERS["fast"], CASES[name], protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("hook", ["override_nothing", "table_chain_map", "persistent_static"])
@pytest.mark.parametrize("name", list(CASES)[::11])
def test_hooks_that_change_little(hook: str, name: str, protocol: int) -> None:
    """With a hook in place no short cut for plain objects may be taken."""
    same_hook(PICKLERS[hook], CASES[name], protocol)


def same_hook(make_class: Any, make_obj: Any, protocol: int) -> None:
    obj = make_obj()
    ours = hooked(ox, make_class, lambda: obj, protocol, 1)
    theirs = hooked(c, make_class, lambda: obj, protocol, 1)
    agree(ours, theirs, f"protocol {protocol}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_many_dumps_of_one_pickler(protocol: int) -> None:
    """The memo goes on between dumps, across every kind of object."""
    objects = [CASES[name]() for name in list(CASES)[::7] if name not in HEAVY]
    # how much is in the memo when the recursion limit ends a dump is each one's own affair
    outcomes = [(obj, attempt(c.dumps, obj, protocol)) for obj in objects]
    objects = [
        obj for obj, o in outcomes if not (isinstance(o, Raised) and o.type is RecursionError)
    ]

    def run(mod: Any) -> Any:
        out = io.BytesIO()
        pickler = mod.Pickler(out, protocol)
        outcomes = [attempt(pickler.dump, obj) for obj in [*objects, *objects[::-1]]]
        return out.getvalue(), outcomes

    (ours, our_outcomes), (theirs, their_outcomes) = run(ox), run(c)
    agree(ours, theirs)
    for mine, other in zip(our_outcomes, their_outcomes):
        agree(mine, other)


@pytest.mark.parametrize("code", [1, 255, 256, 65535, 65536, 2**31 - 1])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_extension_codes(code: int, protocol: int) -> None:
    copyreg.add_extension("corpus", "Plain", code)
    try:
        same_bytes(lambda: [Plain, Plain(a=1), Plain, Node, Plain(a=2)], [protocol])
    finally:
        copyreg.remove_extension("corpus", "Plain", code)


@pytest.mark.parametrize("code", [-1, 0, None, "x", 2**31, 2**70, 1.5])
@pytest.mark.parametrize("protocol", [2, 4])
def test_bad_extension_codes(code: Any, protocol: int) -> None:
    copyreg._extension_registry["corpus", "Plain"] = code
    same_bytes(lambda: [Plain], [protocol])


# --- frames --------------------------------------------------------------------------------------


def frame_tails() -> dict[str, Any]:
    return {
        "int": lambda: 1,
        "none": lambda: None,
        "float": lambda: 1.5,
        "empty tuple": tuple,
        "empty list": list,
        "empty dict": dict,
        "pair": lambda: (1, 2),
        "recursive tuple": lambda: corpus._recursive_tuple(3, 1),
        "str": lambda: "abcdef",
        "bytes": lambda: b"abcdef",
        "large bytes": lambda: b"l" * 65536,
        "large str": lambda: "l" * 65536,
        "bytearray": lambda: bytearray(b"abcdef"),
        "class": lambda: Plain,
        "nested class": lambda: Outer.Inner.Innermost,
        "instance": lambda: Plain(a=1, b=[2]),
        "empty instance": lambda: Plain(),
        "slots": lambda: Slotted(1, 2),
        "namedtuple": lambda: Point(1, 2),
        "dict": lambda: {"a": 1, 2: (3,)},
        "set": lambda: {1, 2, 3},
        "frozenset": lambda: frozenset([1, 2]),
        "reduce": lambda: Reduces(
            lambda self, p: (build, (1,), {"a": 1}, iter([1, 2]), iter([(1, 2)]))
        ),
        "newobj_ex": lambda: corpus.NewArgsEx(1, k=2),
        "setter": lambda: Reduces((build, (), {"a": 1}, None, None, corpus.set_state)),
        "extension": lambda: Node,
        "enum": lambda: corpus.Colour.RED,
    }


@pytest.mark.parametrize("tail", frame_tails())
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_frame_boundary_at_each_save(tail: str, protocol: int) -> None:
    """The frame is closed before a save when it holds 64 KiB, never in the middle of one.

    The filler grows byte by byte across the boundary, so that each save in the tail is the first
    one past it once.
    """
    make = frame_tails()[tail]
    large = tail.startswith("large")
    for filler in range(65440, 65536, 13 if large else 1):
        obj = ["f" * filler, make(), make(), 1, make()]
        for way in ("dumps", "write calls") if filler % 5 == 0 else ("dumps",):
            ours, theirs = WAYS[way](ox, obj, protocol), WAYS[way](c, obj, protocol)
            agree(ours, theirs, f"{way}, filler of {filler}")


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("size", [1, 7, 100, 1000, 16000, 32767, 65535])
def test_many_frames(size: int, protocol: int) -> None:
    for count in (3, 300_000 // size):
        for kind in (b"b", "s"):
            obj = [kind * size for _ in range(min(count, 20_000))]
            obj = [item[:1] + item[1:] for item in obj]
            for way in ("dumps", "dump", "write calls"):
                agree(WAYS[way](ox, obj, protocol), WAYS[way](c, obj, protocol), way)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_write_gets_the_payload_itself(protocol: int) -> None:
    """A payload of 64 KiB or more is handed over as the same object, in the order of the stream."""
    big = b"b" * 70000
    grown = bytearray(b"g" * 70000)
    obj = [1, big, "small", grown, big, b"s" * 65535, "after"]

    def identities(mod: Any) -> Any:
        out = Recorder()
        mod.dump(obj, out, protocol)
        names = {id(big): "big", id(grown): "grown"}
        return [(names.get(id(o)), len(data)) for o, (_, data) in zip(out.objects, out.calls)]

    agree(identities(ox), identities(c))


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("text", ["a" * 70000, "é" * 40000, "€" * 30000, "😀" * 20000])
def test_a_writer_may_keep_a_large_str(text: str, protocol: int) -> None:
    """What `write` got for a large `str` stays valid after the dump and after the string."""
    obj = [1, text[:1] + text[1:], 2]
    out = Recorder()
    ox.dump(obj, out, protocol)
    kept = list(out.objects)
    del obj
    assert b"".join(bytes(data) for data in kept) == c.dumps([1, text, 2], protocol)
    for data, (_, copy) in zip(kept, out.calls):
        assert memoryview(data).readonly
        assert bytes(data) == copy


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("keep", [0, 1, 2, 3])
def test_write_fails_in_the_middle(keep: int, protocol: int) -> None:
    """What was flushed stays, the rest is dropped, and the next dump starts clean."""
    obj = [1, b"x" * 70000, "y" * 70000, [3], bytearray(70000), list(range(70000))]

    def run(mod: Any) -> Any:
        class Failing(Recorder):
            broken = True

            def write(self, data: Any) -> int:
                if self.broken and len(self.calls) >= keep:
                    raise OSError("disk full")
                return super().write(data)

        out = Failing()
        pickler = mod.Pickler(out, protocol)
        first = attempt(pickler.dump, obj)
        out.broken = False
        second = attempt(pickler.dump, obj)
        memo = sorted(index for index, _ in pickler.memo.copy().values())
        return out.getvalue(), first, second, memo

    ours, theirs = run(ox), run(c)
    for mine, other in zip(ours, theirs):
        agree(mine, other, f"after {keep} calls")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_write_changes_the_world(protocol: int) -> None:
    """`write` is user code: it may change what is being saved."""

    def run(mod: Any) -> Any:
        rows: list[Any] = [[i, str(i)] for i in range(30000)]
        tail = Plain(a=[1], b="x")
        obj = {"rows": rows, "big": b"z" * 70000, "tail": tail}

        class Meddling(Recorder):
            def write(self, data: Any) -> int:
                number = len(self.calls)
                tail.a = [number, junk := hazards.junk(3)]
                rows[25000 + number] = junk
                rows[number] = None
                return super().write(data)

        out = Meddling()
        outcome = attempt(mod.dump, obj, out, protocol)
        return outcome, out.getvalue()

    ours, theirs = run(ox), run(c)
    agree(ours[0], theirs[0])
    agree(ours[1], theirs[1])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_failed_dump_leaves_the_pickler_usable(protocol: int) -> None:
    """The memo keeps what was entered before the failure; the next dump refers to it."""
    shared = [1, Plain(a=2)]

    def run(mod: Any) -> Any:
        out = io.BytesIO()
        pickler = mod.Pickler(out, protocol)
        failed = attempt(pickler.dump, [shared, "text", (1, [lambda: 0])])
        again = attempt(pickler.dump, [shared, "text"])
        return failed, again, out.getvalue()

    for mine, other in zip(run(ox), run(c)):
        agree(mine, other)


def test_unusual_protocol_arguments() -> None:
    class Index:
        def __index__(self) -> int:
            return 2

    for protocol in (True, False, Index(), -7, 6, 2**100, -(2**100), "2", 2.0, None):
        ours, theirs = attempt(ox.dumps, [1], protocol), attempt(c.dumps, [1], protocol)
        agree(ours, theirs, repr(protocol))


def test_write_calls_of_large_flat_lists() -> None:
    for protocol in PROTOCOLS:
        obj = list(range(10**5))
        agree(write_log(ox, obj, protocol), write_log(c, obj, protocol), f"protocol {protocol}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_same_object_from_many_depths(protocol: int) -> None:
    """GETs are written from every level of nesting, in tuples, lists, dicts and instances."""
    shared = [Plain(a=1)]
    value: Any = shared
    for level in range(60):
        value = [
            functools.partial(lambda v: [v, shared, shared[0]]),
            functools.partial(lambda v: (v, shared)),
            functools.partial(lambda v: {"v": v, "s": shared[0].__dict__}),
            functools.partial(lambda v: Node(v, shared)),
        ][level % 4](value)
    same_bytes(lambda: value, [protocol], fresh=False)
