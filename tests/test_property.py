"""Random object graphs: same bytes as C at every protocol, and the same objects when loaded.

Graphs share, cycle, subclass and reduce in every form. Examples are built from a recipe, so that
both implementations can be given graphs of their own and a failure shrinks to a readable one.
"""

from __future__ import annotations

import collections
import copyreg
import datetime
import enum
import io
import uuid
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import corpus
from corpus import Built, Plain, Point, Slotted, build, set_state
from support import WAYS, Raised, agree, attempt, c, isomorphic, ox

settings.register_profile(
    "parity",
    deadline=None,
    max_examples=400,
    derandomize=True,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("parity")

# --- recipes ----------------------------------------------------------------------------------------

_sizes = st.sampled_from([0, 1, 2, 3, 254, 255, 256, 257, 65534, 65535, 65536, 65537])
_texts = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(codec=None, categories=["Cs", "Lu", "Cc"]), max_size=5),
    st.builds(lambda size, char: char * size, _sizes, st.sampled_from("xé€😀")),
)
_atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**33), 2**33),
    st.sampled_from([255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**2040]),
    st.floats(),
    st.complex_numbers(),
    _texts,
    st.binary(max_size=12),
    st.builds(lambda size: b"b" * size, _sizes),
    st.builds(lambda data: bytearray(data), st.binary(max_size=12)),
    st.datetimes(),
    st.dates(),
    st.timedeltas(),
    st.timezones(),
    st.decimals(),
    st.fractions(),
    st.uuids(),
    st.sampled_from([*corpus.Colour, *corpus.Level, corpus.Permission(3), ..., NotImplemented]),
    st.sampled_from([Plain, Point, corpus.Outer.Inner, len, build, int, type(None), OSError]),
)

#: The kinds of compound objects. Each is filled after it exists, as far as it can be: that is what
#: makes cycles.
KINDS = [
    *("list", "dict", "set", "frozenset", "tuple", "bytearray of"),
    *("plain", "child", "slots", "slots and dict", "data", "slot data", "named tuple", "node"),
    *("list child", "dict child", "set child", "tuple child", "str child", "int child"),
    *("ordered dict", "default dict", "deque", "counter", "exception", "partial state"),
    *(
        "reduce 2",
        "reduce 3",
        "reduce 4",
        "reduce 5",
        "reduce 6",
        "reduce newobj",
        "reduce newobj_ex",
    ),
    *("getstate", "newargs", "newargs_ex", "reduce string", "namespace", "many attributes"),
    *("batch list", "batch dict", "batch set", "large list"),
]

_recipe = st.tuples(
    st.sampled_from(KINDS),
    st.lists(st.integers(0, 40), max_size=6),
    st.sampled_from([0, 1, 2, 999, 1000, 1001, 2000, 2001]),
)
_graphs = st.tuples(
    st.lists(_atoms, min_size=1, max_size=8), st.lists(_recipe, min_size=1, max_size=9)
)


class Recipe(corpus.Reduces):
    """Reduces in the form and with the parts that were put into it."""

    def __init__(self) -> None:
        self.form = "2"
        self.parts: list[Any] = []

    def __reduce_ex__(self, protocol: int) -> Any:
        parts = self.parts
        pairs = [(i, part) for i, part in enumerate(parts)]
        state = {"parts": parts, "self": self}
        return {
            "2": lambda: (build, ("args", *parts[:1])),
            "3": lambda: (build, (), state),
            "4": lambda: (build, (1,), None, iter(parts)),
            "5": lambda: (build, (1,), None, None, iter(pairs)),
            "6": lambda: (build, (), state, iter(parts), iter(pairs), set_state),
            "newobj": lambda: (copyreg.__newobj__, (Recipe,), state),
            "newobj_ex": lambda: (copyreg.__newobj_ex__, (Recipe, (), {}), state),
            "string": lambda: "set_state",
        }[self.form]()


Recipe.__module__ = __name__
_SAFE_KEYS = (int, str, bytes, bool, type(None), datetime.date, uuid.UUID, enum.Enum)


def hashable(value: Any) -> bool:
    """Whether *value* may be a key: hashed by value, and not equal to itself only by identity."""
    return (
        isinstance(value, _SAFE_KEYS) and value == value and not isinstance(value, corpus.StrChild)
    )


def make(graph: Any) -> Any:
    """Build the graph of a recipe: all objects first, then what they hold."""
    atoms, recipes = graph
    pool: list[Any] = list(atoms)
    later: list[Any] = []
    for kind, links, size in recipes:

        def picked(links: list[int] = links, pool: list[Any] = pool) -> list[Any]:
            return [pool[i % len(pool)] for i in links]

        def keys(links: list[int] = links, pool: list[Any] = pool) -> list[Any]:
            return [v for i in links if hashable(v := pool[i % len(pool)])]

        obj: Any
        fill: Any = None
        match kind:
            case "list":
                obj = []
                fill = lambda o=obj, p=picked: o.extend(p())
            case "dict":
                obj = {}
                fill = lambda o=obj, p=picked, k=keys: o.update(zip([*k(), "key"], [*p(), None]))
            case "set":
                obj = set(keys()[:1])
            case "frozenset":
                obj = frozenset(keys()[:1])
            case "tuple":
                obj = tuple(picked())
            case "bytearray of":
                obj = bytearray(size % 300)
            case "plain" | "child":
                obj = (Plain if kind == "plain" else corpus.Child)()
                fill = lambda o=obj, p=picked: o.__dict__.update(
                    (f"a{i}", v) for i, v in enumerate(p())
                )
            case "many attributes":
                obj = corpus.Many(size % 70)
            case "slots":
                obj = Slotted()
                fill = lambda o=obj, p=picked: (setattr(o, "a", p()), setattr(o, "b", [*p(), 0][0]))
            case "slots and dict":
                obj = corpus.SlotsAndDict(1)
                fill = lambda o=obj, p=picked: (setattr(o, "a", p()), setattr(o, "more", p()))
            case "data":
                obj = corpus.Data(1)
                fill = lambda o=obj, p=picked: setattr(o, "c", p())
            case "slot data":
                obj = corpus.SlotData(1)
                fill = lambda o=obj, p=picked: setattr(o, "b", p())
            case "named tuple":
                obj = Point(picked(), size)
            case "node":
                obj = corpus.Node(size)
                fill = lambda o=obj, p=picked: setattr(o, "next", [*p(), None][0])
            case "list child":
                obj = corpus.ListChild()
                fill = lambda o=obj, p=picked: (o.extend(p()), setattr(o, "state", p()))
            case "dict child":
                obj = corpus.DictChild()
                fill = lambda o=obj, p=picked, k=keys: o.update(zip(k(), p()))
            case "set child":
                obj = corpus.SetChild(keys()[:1])
            case "tuple child":
                obj = corpus.TupleChild(picked())
            case "str child":
                obj = corpus.StrChild("s" * (size % 300))
                fill = lambda o=obj, p=picked: setattr(o, "more", p())
            case "int child":
                obj = corpus.IntChild(size)
            case "ordered dict":
                obj = collections.OrderedDict()
                fill = lambda o=obj, p=picked, k=keys: o.update(zip(k(), p()))
            case "default dict":
                obj = collections.defaultdict(list)
                fill = lambda o=obj, p=picked, k=keys: o.update(zip(k(), p()))
            case "deque":
                obj = collections.deque(maxlen=size or None)
                fill = lambda o=obj, p=picked: o.extend(p())
            case "counter":
                obj = collections.Counter(keys())
            case "exception":
                obj = ValueError("text", size)
                fill = lambda o=obj, p=picked: setattr(o, "more", p())
            case "partial state":
                obj = Built(1)
                fill = lambda o=obj, p=picked: o.items.extend(p())
            case "getstate":
                obj = corpus.State(None)
                fill = lambda o=obj, p=picked: setattr(o, "state", p() or None)
            case "newargs":
                obj = corpus.NewArgs(*keys())
            case "newargs_ex":
                obj = corpus.NewArgsEx(*keys(), size=size)
            case "namespace":
                obj = corpus.UNMAPPED()
                fill = lambda o=obj, p=picked: setattr(o, "parts", p())
            case "batch list":
                obj = list(range(size))
            case "batch dict":
                obj = dict.fromkeys(range(size))
            case "batch set":
                obj = set(range(size))
            case "large list":
                obj = [[i] for i in range(size)]
            case _:
                obj = Recipe()
                obj.form = kind.removeprefix("reduce ")
                fill = lambda o=obj, p=picked: o.parts.extend(p())
        pool.append(obj)
        if fill is not None:
            later.append(fill)
    for fill in later:
        fill()
    return pool[len(atoms) :]


# --- properties -------------------------------------------------------------------------------------


@given(graph=_graphs, protocol=st.integers(0, 5))
def test_same_bytes(graph: Any, protocol: int) -> None:
    """`dumps`, `dump`, `Pickler.dump` twice, write calls and memo: all as C has them."""
    obj = make(graph)
    for name, way in WAYS.items():
        ours = attempt(way, ox, obj, protocol)
        theirs = attempt(way, c, obj, protocol)
        agree(ours, theirs, f"{name}, protocol {protocol}")


@given(graph=_graphs, protocol=st.integers(0, 5))
def test_same_bytes_of_objects_nobody_else_holds(graph: Any, protocol: int) -> None:
    ours = attempt(ox.dumps, make(graph), protocol)
    theirs = attempt(c.dumps, make(graph), protocol)
    agree(ours, theirs, f"protocol {protocol}")


@given(graph=_graphs, protocol=st.integers(0, 5))
def test_same_objects(graph: Any, protocol: int) -> None:
    """What we load from C's stream has the shape and the sharing of what C loads from it."""
    data = attempt(c.dumps, make(graph), protocol)
    if isinstance(data, Raised):
        return
    theirs = attempt(c.loads, data)
    for ours in (
        attempt(ox.loads, data),
        attempt(ox.load, io.BytesIO(data)),
        attempt(ox.load, io.BufferedReader(io.BytesIO(data), 100)),
    ):
        if isinstance(theirs, Raised):
            agree(ours, theirs)
            continue
        assert isomorphic(ours, theirs) is None
        agree(attempt(c.dumps, ours, 4), attempt(c.dumps, theirs, 4), "dumped again")
        agree(attempt(ox.dumps, ours, 4), attempt(c.dumps, theirs, 4), "dumped again by us")


class Settings:
    """Options of a Pickler that a graph is written with."""

    def __init__(self, fast: bool, fix: bool, table: bool, override: bool, ids: bool) -> None:
        self.fast, self.fix, self.table, self.override, self.ids = fast, fix, table, override, ids

    def __repr__(self) -> str:
        return f"Settings({self.__dict__})"

    def dump(self, mod: Any, obj: Any, protocol: int) -> Any:
        members: dict[str, Any] = {}
        if self.override:
            members["reducer_override"] = lambda s, o: (
                (build, (o.__dict__,)) if type(o) is corpus.Child else NotImplemented
            )
        if self.ids:
            members["persistent_id"] = lambda s, o: "pid" if type(o) is Slotted else None
        out = io.BytesIO()
        pickler = type("P", (mod.Pickler,), members)(out, protocol, fix_imports=self.fix)
        if self.table:
            pickler.dispatch_table = {
                **copyreg.dispatch_table,
                Plain: lambda o: (build, (1,), o.__dict__),
            }
        pickler.fast = self.fast
        outcome = attempt(pickler.dump, obj)
        return outcome if isinstance(outcome, Raised) else out.getvalue()


@settings(max_examples=150)  # each takes ten times as long as one of the others
@given(
    graph=_graphs,
    protocol=st.integers(0, 5),
    options=st.builds(Settings, *[st.booleans()] * 5),
)
def test_same_bytes_with_hooks(graph: Any, protocol: int, options: Settings) -> None:
    obj = make(graph)
    agree(options.dump(ox, obj, protocol), options.dump(c, obj, protocol))


@given(
    filler=st.integers(65400, 65540),
    graph=_graphs,
    protocol=st.integers(3, 5),
)
def test_same_frames(filler: int, graph: Any, protocol: int) -> None:
    """A filler puts the frame boundary somewhere into the graph."""
    obj = ["f" * (filler - 200), b"g" * 200, make(graph)]
    for name in ("dumps", "write calls"):
        ours, theirs = attempt(WAYS[name], ox, obj, protocol), attempt(WAYS[name], c, obj, protocol)
        agree(ours, theirs, name)
