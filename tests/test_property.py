"""Property tests: graphs of objects with sharing, cycles, subclasses and every reduce form.

For each graph and protocol: the same bytes as C through `dumps`, `dump` and a Pickler used twice, and
the same graph back from those bytes. The graphs are made by a small program of steps that hypothesis
shrinks; a step may refer to any object made before, which gives sharing, and may put an object into
one made earlier, which gives cycles.
"""

import collections
import copyreg
import datetime
import decimal
import enum
import io
import operator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import PROTOCOLS, Raised, agree, attempt, c, isomorphic, ox, pickler_twice

PROFILE = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Plain:
    pass


class Slots:
    __slots__ = ("a", "b")


class SlotsAndDict(Slots):
    pass


class StateIsTuple:
    def __getstate__(self) -> Any:
        return (self.__dict__, None)

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state[0])


class NewArgs(tuple):
    def __new__(cls, *items: Any) -> Any:
        return super().__new__(cls, items)

    def __getnewargs__(self) -> Any:
        return tuple(self)


class NewArgsEx:
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        self.held = (args, kwargs)
        return self

    def __getnewargs_ex__(self) -> Any:
        return self.held


class Reduces:
    """Gives back a reduce value of a chosen length."""

    def __init__(self, form: int, content: Any) -> None:
        self.form = form
        self.content = content

    def __reduce__(self) -> Any:
        value = (
            Rebuilt,
            (self.form,),
            {"content": self.content},
            iter([self.content, 1, self.content]),
            iter([("k", self.content), ("l", 2)]),
            set_state,
        )
        return value[: self.form] if self.form != 4 else (*value[:3], iter([self.content]))


class Rebuilt:
    def __init__(self, form: int) -> None:
        self.form = form
        self.items: list[Any] = []
        self.pairs: list[Any] = []

    def append(self, item: Any) -> None:
        self.items.append(item)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs.append((key, value))


def set_state(obj: Any, state: Any) -> None:
    obj.__dict__.update(state)


class Registered:
    def __init__(self, content: Any) -> None:
        self.content = content


copyreg.pickle(Registered, lambda obj: (Registered, (None,), obj.__dict__))


class ListChild(list):
    pass


class DictChild(dict):
    pass


class SetChild(set):
    pass


class IntChild(int):
    pass


class StrChild(str):
    pass


class Pair(NamedTuple):
    a: Any
    b: Any


class Colour(enum.Enum):
    RED = 1
    GREEN = "g"


class Flags(enum.IntFlag):
    A = 1
    B = 2


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(),
    st.text(st.characters(), max_size=6),  # lone surrogates included
    st.binary(max_size=6),
    st.sampled_from([255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1]),
    st.sampled_from(["", "a", "é", "€", "😀", b"", b"x"]),
    st.sampled_from([int, len, Plain, Colour.RED, Flags.A | Flags.B, ..., NotImplemented]),
    st.builds(
        lambda d: datetime.datetime(2000, 1, 1) + datetime.timedelta(days=d), st.integers(0, 999)
    ),
    st.builds(lambda n: decimal.Decimal(n) / 8, st.integers(-99, 99)),
    st.builds(lambda n: bytearray(b"ab"[:n]), st.integers(0, 2)),
    st.builds(lambda n: IntChild(n), st.integers(-5, 300)),
    st.builds(lambda t: StrChild(t), st.text(max_size=3)),
    st.builds(lambda n: range(n), st.integers(0, 9)),
    st.builds(lambda n: complex(n, -n), st.integers(0, 9)),
)

KINDS = (
    "tuple list dict set frozenset Plain Slots SlotsAndDict StateIsTuple NewArgs NewArgsEx Reduces "
    "Registered ListChild DictChild SetChild Pair OrderedDict defaultdict deque exception partial"
).split()

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("atom"), ATOMS),
        st.tuples(
            st.sampled_from(KINDS),
            st.lists(st.integers(0, 30), max_size=5),
            st.integers(2, 6),
        ),
        st.tuples(st.just("link"), st.integers(0, 30), st.integers(0, 30)),
    ),
    min_size=1,
    max_size=25,
)


def hashable(items: list[Any]) -> list[Any]:
    return [item for item in items if isinstance(item, (int, str, bytes, type(None), enum.Enum))]


def make(kind: str, parts: list[Any], form: int) -> Any:
    if kind in ("tuple", "list"):
        return tuple(parts) if kind == "tuple" else parts
    if kind in ("set", "frozenset", "SetChild"):
        return {"set": set, "frozenset": frozenset, "SetChild": SetChild}[kind](hashable(parts))
    if kind in ("dict", "DictChild", "OrderedDict"):
        cls = {"dict": dict, "DictChild": DictChild, "OrderedDict": collections.OrderedDict}[kind]
        return cls((f"k{i}", part) for i, part in enumerate(parts))
    if kind in ("Plain", "SlotsAndDict", "StateIsTuple"):
        obj = {"Plain": Plain, "SlotsAndDict": SlotsAndDict, "StateIsTuple": StateIsTuple}[kind]()
        for i, part in enumerate(parts):
            setattr(obj, "cab"[i % 3] + str(i // 3), part)
        if kind == "SlotsAndDict" and parts:
            obj.a = parts[0]
        return obj
    if kind == "Slots":
        slots = Slots()
        for name, part in zip("ba", parts):
            setattr(slots, name, part)
        return slots
    if kind == "NewArgs":
        return NewArgs(*parts)
    if kind == "NewArgsEx":
        return NewArgsEx(*parts, **{f"k{i}": part for i, part in enumerate(parts[:2])})
    if kind == "Reduces":
        return Reduces(form, parts)
    if kind == "Registered":
        return Registered(parts)
    if kind == "ListChild":
        return ListChild(parts)
    if kind == "Pair":
        return Pair(parts, parts[0] if parts else None)
    if kind == "defaultdict":
        return collections.defaultdict(list, enumerate(parts))
    if kind == "deque":
        return collections.deque(parts, maxlen=form)
    if kind == "exception":
        return ValueError(*parts)
    assert kind == "partial"
    return operator.attrgetter("real", *(f"a{i}" for i in range(len(parts))))


def link(owner: Any, item: Any) -> None:
    """Puts `item` into `owner`, where that can be done: the way to a cycle."""
    if isinstance(owner, (list, collections.deque)):
        owner.append(item)
    elif isinstance(owner, dict):
        owner[f"link{len(owner)}"] = item
    elif isinstance(owner, Registered):
        owner.content = item
    elif isinstance(owner, (Plain, StateIsTuple)):
        setattr(owner, f"link{len(vars(owner))}", item)


def build(steps: Any) -> Any:
    made: list[Any] = [()]
    for step in steps:
        if step[0] == "atom":
            made.append(step[1])
        elif step[0] == "link":
            link(made[step[1] % len(made)], made[step[2] % len(made)])
        else:
            made.append(make(step[0], [made[i % len(made)] for i in step[1]], step[2]))
    return made


@pytest.mark.parametrize("protocol", PROTOCOLS)
@PROFILE
@given(steps=STEPS)
def test_same_bytes(protocol: int, steps: Any) -> None:
    graph = build(steps)
    for name, dump in (("dumps", dumps), ("dump", dump_to_file), ("Pickler twice", pickler_twice)):
        ours, theirs = attempt(dump, ox, graph, protocol), attempt(dump, c, graph, protocol)
        if same_recursion(ours, theirs):
            continue
        agree(ours, theirs, f"{name}, protocol {protocol}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@PROFILE
@given(steps=STEPS)
def test_same_graph_back(protocol: int, steps: Any) -> None:
    data = attempt(c.dumps, build(steps), protocol)
    if isinstance(data, Raised):
        return
    for load in (loads, load_from_file):
        ours, theirs = attempt(load, ox, data), attempt(load, c, data)
        if isinstance(ours, Raised) or isinstance(theirs, Raised):
            agree(ours, theirs, f"protocol {protocol}")
            continue
        assert isomorphic(ours, theirs) is None
        # What we loaded is written as what C loaded: sharing is the same too.
        again = attempt(c.dumps, ours, protocol), attempt(c.dumps, theirs, protocol)
        agree(*again, f"dumped again, protocol {protocol}")


def same_recursion(ours: Any, theirs: Any) -> bool:
    """C gives up on a chain that has an end, or ours does later: depth is each one's own affair."""
    return isinstance(theirs, Raised) and theirs.type is RecursionError


def dumps(mod: Any, obj: Any, protocol: int) -> bytes:
    return mod.dumps(obj, protocol)


def dump_to_file(mod: Any, obj: Any, protocol: int) -> bytes:
    file = io.BytesIO()
    mod.dump(obj, file, protocol)
    return file.getvalue()


def loads(mod: Any, data: bytes) -> Any:
    return mod.loads(data)


def load_from_file(mod: Any, data: bytes) -> Any:
    return mod.Unpickler(io.BytesIO(data)).load()
