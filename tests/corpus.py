"""Objects to pickle: classes that can be found by name, and named factories by subject.

`CASES` maps a name to a factory. Each call of a factory makes a new object graph, as far as Python
allows it, so that both implementations can be given objects nobody else refers to. Must not import
`pickle`: whether the interpreter's C code or ours is behind it would leak into the tests.
"""

from __future__ import annotations

import array
import collections
import collections.abc
import copyreg
import dataclasses
import datetime
import decimal
import email.message
import enum
import fractions
import functools
import ipaddress
import itertools
import operator
import pathlib
import random
import re
import string
import sys
import types
import typing
import uuid
import weakref
import zoneinfo
from collections.abc import Callable
from typing import Any

CASES: dict[str, Callable[[], Any]] = {}


def add(name: str, make: Callable[[], Any]) -> None:
    assert name not in CASES, name
    CASES[name] = make


def case(make: Callable[[], Any]) -> Callable[[], Any]:
    """Register a function as the factory of the case with its name."""
    add(make.__name__, make)
    return make


def case_values(prefix: str, values: list[Any]) -> None:
    """Register each value itself (for objects that cannot be made twice)."""
    for i, value in enumerate(values):
        add(f"{prefix}_{i}", lambda value=value: value)


# --- classes --------------------------------------------------------------------------------


class Plain:
    """Attributes are set from keyword arguments, in their order."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


class NamesInKeys:
    """Used by one case alone: nothing else holds the names of its attributes."""


class Child(Plain):
    kind = "class attribute, not state"


class Node:
    def __init__(self, value: Any, next: Any = None) -> None:
        self.value = value
        self.next = next


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: Any = None, b: Any = None) -> None:
        self.a, self.b = a, b


class SlottedChild(Slotted):
    __slots__ = ("c",)


class SlotsAndDict(Slotted):
    pass


class WeakSlots:
    __slots__ = ("a", "__weakref__")


class DictSlots:
    __slots__ = ("a", "__dict__")


class OneSlot:
    __slots__ = "only"


class PrivateSlots:
    __slots__ = ("__hidden", "__dunder__", "_single")

    def __init__(self) -> None:
        self.__hidden = 1
        self.__dunder__ = 2
        self._single = 3


class _UnderPrivate(PrivateSlots):
    __slots__ = ("__hidden",)

    def __init__(self) -> None:
        super().__init__()
        self.__hidden = "child"


class NoSlots:
    __slots__ = ()


class Many:
    """More attributes than a shared-keys dict or inline values hold."""

    def __init__(self, count: int) -> None:
        for i in range(count):
            setattr(self, f"attribute_{i}", i)


class State:
    """`__getstate__` returns what it was given."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def __getstate__(self) -> Any:
        return self.state

    def __setstate__(self, state: Any) -> None:
        self.state = state


class StateNoSet:
    def __init__(self, state: Any) -> None:
        self.state = state

    def __getstate__(self) -> Any:
        return self.state


class NewArgs:
    def __new__(cls, *args: Any) -> Any:
        self = super().__new__(cls)
        self.args = args
        return self

    def __getnewargs__(self) -> Any:
        return self.args


class NewArgsEx:
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        self.args = args
        self.kwargs = kwargs
        return self

    def __getnewargs_ex__(self) -> Any:
        return self.args, self.kwargs


class BadNewArgs:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __getnewargs__(self) -> Any:
        return self.value


class BadNewArgsEx:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __getnewargs_ex__(self) -> Any:
        return self.value


class GetInitArgs:
    """Read by protocols 0 and 1 of old; ignored today."""

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __getinitargs__(self) -> Any:
        return self.args


class Reduces:
    """`__reduce_ex__` returns the value it was given, or what the given callable returns."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce_ex__(self, protocol: int) -> Any:
        value = self.value
        return value(self, protocol) if isinstance(value, types.FunctionType) else value


class ReducesPlainly:
    """`__reduce__` only, no `__reduce_ex__`."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        value = self.value
        return value(self) if isinstance(value, types.FunctionType) else value


class Built:
    """What `build` makes: remembers its arguments and everything done to it afterwards."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs
        self.items: list[Any] = []
        self.pairs: list[Any] = []

    def append(self, item: Any) -> None:
        self.items.append(item)

    def extend(self, items: Any) -> None:
        self.items.extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs.append((key, value))


def build(*args: Any) -> Built:
    return Built(*args)


def set_state(obj: Any, state: Any) -> None:
    """A state setter, the sixth item of a reduce value."""
    obj.state_set = state


class ListChild(list):
    pass


class ListChildWithState(list):
    def __init__(self, items: Any = (), **state: Any) -> None:
        super().__init__(items)
        self.__dict__.update(state)


class ListOverIter(list):
    """What is saved is what `__iter__` yields."""

    def __iter__(self) -> Any:
        yield from ("one", "two")


class DictChild(dict):
    pass


class DictOverItems(dict):
    """What is saved is what `items` returns."""

    def items(self) -> Any:
        return [("a", 1), ("b", 2)]


class SetChild(set):
    pass


class FrozenChild(frozenset):
    pass


class TupleChild(tuple):
    pass


class StrChild(str):
    pass


class BytesChild(bytes):
    pass


class BytearrayChild(bytearray):
    pass


class IntChild(int):
    pass


class FloatChild(float):
    pass


class ComplexChild(complex):
    pass


class StrSlots(str):
    __slots__ = ()


class Point(typing.NamedTuple):
    x: Any
    y: Any = 0


Pair = collections.namedtuple("Pair", "first second")


@dataclasses.dataclass
class Data:
    a: Any
    b: Any = 2
    c: Any = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class FrozenData:
    a: Any
    b: Any = "frozen"


@dataclasses.dataclass(slots=True)
class SlotData:
    a: Any
    b: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlotData:
    a: Any
    b: Any = None


class Colour(enum.Enum):
    RED = 1
    GREEN = "green"
    BLUE = (0, 0, 255)
    CRIMSON = 1


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 70000


class Permission(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class IntPermission(enum.IntFlag):
    READ = 4
    WRITE = 2


class Word(enum.StrEnum):
    YES = "yes"


class Outer:
    class Inner:
        class Innermost:
            pass

        def method(self) -> None:
            pass

    class _Hidden:
        pass

    class __Private:
        class __Deeper:
            pass

    @classmethod
    def class_method(cls) -> None:
        pass

    @staticmethod
    def static_method() -> None:
        pass

    def method(self) -> None:
        pass

    @classmethod
    def __private_classmethod(cls) -> None:
        pass

    @staticmethod
    def __private_staticmethod() -> None:
        pass

    def __private_method(self) -> None:
        pass


PRIVATE = Outer._Outer__Private
PRIVATE_DEEPER = PRIVATE._Private__Deeper


class Meta(type):
    pass


class OfMeta(metaclass=Meta):
    pass


class ReducingMeta(type):
    """A metaclass whose classes reduce: only a dispatch table is asked, never `__reduce_ex__`."""

    def __reduce_ex__(cls, protocol: int) -> Any:
        raise AssertionError("classes are pickled by name")


class OfReducingMeta(metaclass=ReducingMeta):
    pass


class CountingMeta(type):
    """Every attribute look-up on the class is user code."""

    log: list[str] = []

    def __getattribute__(cls, name: str) -> Any:
        if not name.startswith("__s"):
            CountingMeta.log.append(name)
        return super().__getattribute__(name)


class OfCountingMeta(metaclass=CountingMeta):
    def __init__(self) -> None:
        self.a = 1


class GetAttr:
    """Answers each unknown name."""

    def __init__(self) -> None:
        self.a = 1

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return "answered " + name


class GetAttrAll:
    """Logs each name asked on the instance."""

    log: list[str] = []

    def __init__(self) -> None:
        self.a = 1

    def __getattribute__(self, name: str) -> Any:
        GetAttrAll.log.append(name)
        return super().__getattribute__(name)


class ClassProperty:
    """`__class__` lies."""

    def __init__(self) -> None:
        self.a = 1

    @property
    def __class__(self) -> type:
        return Plain


class DictProperty:
    """`__dict__` is a property over something else."""

    def __init__(self) -> None:
        object.__getattribute__(self, "__dict__")

    @property
    def __dict__(self) -> Any:
        return {"from": "property"}


class SlotsGetState(Slotted):
    __slots__ = ()

    def __getstate__(self) -> Any:
        return {"a": self.a}


class DefaultReduceEx:
    """Overrides `__reduce__`, which `object.__reduce_ex__` must honour."""

    def __reduce__(self) -> Any:
        return build, ("through __reduce__",)


class SuperReduceEx:
    def __init__(self) -> None:
        self.a = [1]

    def __reduce_ex__(self, protocol: int) -> Any:
        return super().__reduce_ex__(protocol)


class Descriptor:
    """A data descriptor with the name of a stored attribute."""

    def __init__(self) -> None:
        self.__dict__["value"] = "stored"

    @property
    def value(self) -> Any:
        return "computed"


class Fails(Exception):
    def __init__(self, *args: Any, extra: Any = None) -> None:
        super().__init__(*args)
        self.extra = extra


class Linked(Exception):
    pass


class RecursiveReduce:
    """Reduces to something that contains itself."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __reduce_ex__(self, protocol: int) -> Any:
        if self.kind == "state":
            return build, (), {"self": self}
        if self.kind == "listitems":
            return build, (), None, iter([self, [self]])
        if self.kind == "dictitems":
            return build, (), None, None, iter([("self", self), (1, (self,))])
        if self.kind == "setter":
            return build, (), [self], None, None, set_state
        raise AssertionError(self.kind)


class Ring:
    """Reduce arguments lead back to the object, through a holder that stops the recursion."""

    def __init__(self) -> None:
        self.holder: Any = None

    def __reduce_ex__(self, protocol: int) -> Any:
        return build, (self.holder,)


def module_function(a: int = 1) -> int:
    return a


UNMAPPED = types.SimpleNamespace


def make_ring(depth: int) -> Any:
    first = Node(0)
    last = first
    for i in range(1, depth):
        last.next = Node(i)
        last = last.next
    last.next = first
    return first


# --- atoms ----------------------------------------------------------------------------------

case_values("singleton", [None, True, False, Ellipsis, NotImplemented])
case_values("singleton_type", [type(None), type(Ellipsis), type(NotImplemented)])

_EDGES = sorted(
    {
        sign * (1 << bits) + delta
        for bits in (0, 7, 8, 15, 16, 30, 31, 32, 60, 62, 63, 64, 127, 128)
        for delta in (-1, 0, 1)
        for sign in (1, -1)
    }
)


@case
def ints_at_edges() -> Any:
    return list(_EDGES)


for _value in (0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**64):
    add(f"int_{_value}", lambda value=_value: value)


@case
def ints_of_many_bytes() -> Any:
    return [
        sign * (1 << (8 * size - shift)) + delta
        for size in (8, 9, 16, 127, 128, 254, 255, 256, 257, 300)
        for shift in (0, 1, 2)
        for delta in (-1, 0, 1)
        for sign in (1, -1)
    ]


@case
def int_beyond_the_digit_limit() -> Any:
    return [1, 10**5000]


@case
def int_of_70_kb() -> Any:
    return [1, 1 << (8 * 70000), 2]


@case
def floats() -> Any:
    inf = float("inf")
    values = [0.0, -0.0, 1.0, -1.5, 1e16, 1e-5, 1e300, 5e-324, 1.7976931348623157e308, 0.1, 1 / 3]
    return [*values, inf, -inf, float("nan"), -float("nan"), 123456789.123456789, 2.0**53]


@case
def complex_numbers() -> Any:
    return [0j, 1 + 2j, complex(-0.0, float("inf")), complex("nan")]


@case
def bools_in_containers() -> Any:
    return [True, (False, True), {True: False}]


# --- str ------------------------------------------------------------------------------------

_TEXTS = {
    "ascii": "abc xyz",
    "escapes": "back\\slash \0 nul \n lf \r cr \x1a sub \t tab 'q' \"dq\"",
    "latin1": "\x7f\x80\x85\x9f\xa0\xe9\xff",
    "bmp": "Ā߿ࠀ€￿\u2028",
    "astral": "\U00010000\U0010ffff😀",
    "mixed": "a\xe9€😀\\\n",
    "surrogate": "\ud800 a \udfff",
    "surrogate_pair": "\ud83d\ude00",
    "percent": "%s %d {} {{",
    "backslash_u": "\\u0041 \\U0001f600 \\x41",
}
for _name, _text in _TEXTS.items():
    add(f"str_{_name}", lambda text=_text: ["".join(text), text, ("".join(list(text)), text)])

for _size in (0, 1, 2, 3, 4, 127, 128, 254, 255, 256, 257, 65534, 65535, 65536, 65537, 70000):
    add(f"str_of_{_size}", lambda size=_size: "x" * size)
    add(f"bytes_of_{_size}", lambda size=_size: b"x" * size)
    add(f"bytearray_of_{_size}", lambda size=_size: bytearray(b"x" * size))
    add(f"str_latin1_of_{_size}", lambda size=_size: "\xe9" * size)
    add(
        f"between_{_size}",
        lambda size=_size: [1, "y" * size, b"z" * size, bytearray(size), "after", "y" * size],
    )
for _size in (84, 85, 86, 21844, 21845, 21846, 32767, 32768):
    add(f"str_bmp_of_{_size}", lambda size=_size: ["€" * size, 1])
for _size in (63, 64, 16383, 16384, 16385):
    add(f"str_astral_of_{_size}", lambda size=_size: ["😀" * size, 1])
    add(f"str_surrogates_of_{_size}", lambda size=_size: ["\udc80" * size, 1])


@case
def str_all_latin1_characters() -> Any:
    return [chr(i) for i in range(256)] + [chr(i) * 2 for i in range(256)]


@case
def str_equal_but_distinct() -> Any:
    a, b = "".join(["no", "t interned"]), "".join(["no", "t interned"])
    return [a, b, a, b]


@case
def large_str_shared() -> Any:
    big = "s" * 70000
    return [big, {"k": big}, big]


@case
def large_non_ascii_str_with_cached_utf8() -> Any:
    text = "é€" * 40000
    text.encode()
    return [text, text]


@case
def many_distinct_str() -> Any:
    return [f"string number {i}" for i in range(3000)]


# --- bytes and bytearray --------------------------------------------------------------------


@case
def all_bytes() -> Any:
    return bytes(range(256))


@case
def bytes_shared_and_equal() -> Any:
    a, b = bytes([1, 2, 3, 4]), bytes([1, 2, 3, 4])
    return [a, b, a, b, b"", b"", bytes(0)]


@case
def bytearrays_shared_and_equal() -> Any:
    a, b = bytearray(b"abc"), bytearray(b"abc")
    return [a, b, a, b, bytearray(), bytearray()]


@case
def bytearray_of_one_then_the_same_byte() -> Any:
    return [bytearray(b"x"), b"x", bytearray(b"x"), b"x"]


@case
def single_bytes() -> Any:
    return [bytes([i]) for i in range(256)] * 2


@case
def single_bytearrays() -> Any:
    return [bytearray([i]) for i in range(256)] + [bytes([i]) for i in range(256)]


@case
def bytearray_with_moved_start() -> Any:
    value = bytearray(b"0123456789" * 20)
    del value[:7]
    return [value, bytes(value)]


@case
def large_payloads_in_containers() -> Any:
    big = b"p" * 65536
    array_ = bytearray(b"q" * 65536)
    return {"a": big, "b": [array_, array_], "c": (big, 1), "d": "t" * 65536, "e": [big]}


@case
def large_and_small_in_turn() -> Any:
    return [value for i in range(6) for value in (bytes([i]) * 65536, i, "s" * 66000, None)]


# --- tuples ---------------------------------------------------------------------------------

for _n in range(0, 6):
    add(f"tuple_of_{_n}", lambda n=_n: tuple(list(range(n))))
    add(f"tuple_of_{_n}_nested", lambda n=_n: tuple([[i] for i in range(n)]))
    add(f"tuple_of_{_n}_shared", lambda n=_n: [t := tuple([object.__doc__] * n), t, (t, t)])


def _recursive_tuple(n: int, where: int) -> Any:
    inner: list[Any] = []
    result = tuple(inner if i == where else [i] for i in range(n))
    inner.append(result)
    return result


for _n in range(1, 6):
    for _where in range(_n):
        add(f"recursive_tuple_{_n}_at_{_where}", functools.partial(_recursive_tuple, _n, _where))


@case
def recursive_tuple_deep() -> Any:
    inner: list[Any] = []
    first = (1, (2, (3, inner), "three"), "two")
    inner.extend([first, first[1], first[1][1]])
    return first


@case
def recursive_tuple_twice() -> Any:
    a: list[Any] = []
    b: list[Any] = []
    result = (a, b, (a, b))
    a.append(result)
    b.append(result)
    return [result, result[2], result]


@case
def recursive_tuple_through_dict() -> Any:
    inner: dict[Any, Any] = {}
    result = (inner, "x")
    inner["self"] = result
    inner[("key",)] = (result, inner)
    return result


@case
def recursive_tuple_through_instance() -> Any:
    node = Node(None)
    node.value = (node, [node], (1, node))
    return node.value


@case
def recursive_tuple_with_sole_owned_siblings() -> Any:
    inner: list[Any] = []
    result = (inner, [1, 2], {"k": Plain(a=1)}, "".join(["u", "v"]), bytes([7, 8, 9]), (5, [6]))
    inner.append(result)
    return result


@case
def large_tuple() -> Any:
    return tuple(range(2500))


@case
def tuple_twice_in_one_list() -> Any:
    t = tuple([1, 2, [3]])
    return [t, t, [t]]


@case
def tuple_of_empty_things() -> Any:
    return ((), [], {}, set(), frozenset(), "", b"", bytearray())


# --- lists, dicts, sets ---------------------------------------------------------------------

BATCHES = (0, 1, 2, 3, 998, 999, 1000, 1001, 1002, 1999, 2000, 2001, 3000, 3001)

for _n in BATCHES:
    add(f"list_of_{_n}", lambda n=_n: list(range(n)))
    add(f"list_of_{_n}_lists", lambda n=_n: [[i] for i in range(n)])
    add(f"dict_of_{_n}", lambda n=_n: {i: -i for i in range(n)})
    add(f"dict_of_{_n}_str", lambda n=_n: {f"k{i}": [i] for i in range(n)})
    add(f"set_of_{_n}", lambda n=_n: set(range(n)))
    add(f"frozenset_of_{_n}", lambda n=_n: frozenset(range(n)))
    add(f"list_child_of_{_n}", lambda n=_n: ListChild(range(n)))
    add(f"dict_child_of_{_n}", lambda n=_n: DictChild((i, str(i)) for i in range(n)))
    add(f"set_child_of_{_n}", lambda n=_n: SetChild(range(n)))
    add(f"frozenset_child_of_{_n}", lambda n=_n: FrozenChild(range(n)))
    add(f"deque_of_{_n}", lambda n=_n: collections.deque(range(n)))
    add(f"ordered_dict_of_{_n}", lambda n=_n: collections.OrderedDict((i, i) for i in range(n)))
    add(
        f"defaultdict_of_{_n}",
        lambda n=_n: collections.defaultdict(list, {i: [i] for i in range(n)}),
    )
    add(f"counter_of_{_n}", lambda n=_n: collections.Counter(range(n)))
    add(
        f"reduce_items_of_{_n}",
        lambda n=_n: Reduces(
            lambda self, protocol: (
                build,
                (),
                None,
                iter(list(range(n))),
                iter([(i, i) for i in range(n)]),
            )
        ),
    )


@case
def recursive_list() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


@case
def recursive_list_nested() -> Any:
    value: list[Any] = [1, [2]]
    value[1].append(value)
    value.append(value[1])
    return value


@case
def recursive_dict() -> Any:
    value: dict[Any, Any] = {}
    value["self"] = value
    return value


@case
def recursive_dict_values() -> Any:
    value: dict[Any, Any] = {1: {}, 2: []}
    value[1]["up"] = value
    value[2].append(value[1])
    return value


@case
def dict_with_mixed_keys() -> Any:
    return {1: "a", "1": "b", 1.5: "c", None: "d", (1, 2): "e", b"x": "f", frozenset([1]): "g"}


@case
def dict_with_instance_keys() -> Any:
    key = Plain(a=1)
    return {key: [key], "k": key}


@case
def dict_after_deletions() -> Any:
    value = {i: i for i in range(50)}
    for i in range(0, 50, 3):
        del value[i]
    value["new"] = 1
    return value


@case
def dict_order_kept() -> Any:
    value = {"b": 1, "a": 2}
    value["c"] = value.pop("b")
    return value


@case
def dict_key_sharing_copy() -> Any:
    return [dict(vars(Plain(a=1, b=2))), dict(vars(Plain(b=1, a=2)))]


@case
def set_with_instance() -> Any:
    return [{Node(1)}, frozenset([Node(2)])]


@case
def recursive_set_through_instance() -> Any:
    node = Node(None)
    node.value = {node}
    return node


@case
def recursive_set_itself() -> Any:
    node = Node(None)
    node.value = {node}
    return node.value


@case
def recursive_frozenset() -> Any:
    node = Node(None)
    node.value = frozenset([node])
    return node.value


@case
def recursive_frozenset_with_sole_owned_siblings() -> Any:
    node = Node([1, [2]], ("x", "y"))
    node.value = frozenset([node])
    return [node.value, node]


@case
def recursive_frozenset_child() -> Any:
    node = Node(None)
    node.value = FrozenChild([node])
    return node.value


@case
def frozensets_in_frozensets() -> Any:
    inner = frozenset(["a"])
    return frozenset([inner, frozenset([inner, 1])])


@case
def shared_containers() -> Any:
    a: list[Any] = [1]
    d = {"a": a}
    s = {1}
    f = frozenset([2])
    t = (a, d)
    return [a, d, s, f, t, a, d, s, f, t, [a, d, s, f, t]]


@case
def empty_containers_shared() -> Any:
    a: list[Any] = []
    d: dict[Any, Any] = {}
    s: set[Any] = set()
    f: frozenset[Any] = frozenset()
    return [a, d, s, f, (), a, d, s, f, (), bytearray(), "", b""]


@case
def nested_40_levels() -> Any:
    value: Any = "bottom"
    for i in range(40):
        value = [value] if i % 4 == 0 else (value,) if i % 4 == 1 else {"k": value}
    return value


@case
def more_than_256_memo_entries() -> Any:
    rows = [[i] for i in range(300)]
    return rows + rows


@case
def more_than_65536_memo_entries() -> Any:
    rows: list[Any] = [[] for _ in range(65540)]
    return [*rows, rows[0], rows[255], rows[256], rows[65535], rows[65536], rows[65539]]


@case
def list_of_1001_with_large_items() -> Any:
    return [b"x" * 100 for _ in range(1001)]


@case
def frames_of_ints() -> Any:
    return list(range(100_000))


@case
def frames_of_documents() -> Any:
    return [{"id": i, "name": f"n{i}", "tags": ["a", str(i)], "v": i / 7} for i in range(3000)]


# --- by name --------------------------------------------------------------------------------

case_values(
    "class",
    [
        Plain,
        Outer,
        Outer.Inner,
        Outer.Inner.Innermost,
        Outer._Hidden,
        PRIVATE,
        PRIVATE_DEEPER,
        OfMeta,
        Meta,
        OfReducingMeta,
        OfCountingMeta,
        int,
        object,
        type,
        range,
        dict,
        OSError,
        FileNotFoundError,
        collections.OrderedDict,
        collections.abc.Mapping,
        datetime.datetime,
        string.Template,
        IOError,
    ],
)
case_values(
    "function",
    [
        module_function,
        len,
        print,
        open,
        getattr,
        functools.reduce,
        operator.itemgetter,
        itertools.chain,
        sys.intern,
        Outer.method,
        Outer.Inner.method,
        Outer.static_method,
        Outer.class_method,
        str.join,
        "x".join,
        [].append,
        dict.fromkeys,
        bytes.fromhex,
        Outer().method,
        Outer.Inner().method,
        Outer._Outer__private_classmethod,
        Outer._Outer__private_staticmethod,
        Outer._Outer__private_method,
        Outer()._Outer__private_method,
        lambda: None,
    ],
)


@case
def nested_names_shared() -> Any:
    return [Outer.Inner, Outer.Inner.Innermost, Outer.Inner, Outer, Outer.Inner.method]


@case
def builtin_names_share_module_strings() -> Any:
    return [int, str, len, dict, getattr, "builtins", object, type(None), range, print]


@case
def module_and_name_as_data() -> Any:
    return ["corpus", Plain, "Plain", Plain.__module__, Plain.__qualname__, Child]


@case
def many_classes() -> Any:
    return [Plain, Child, Node, Slotted, State, Data, Plain, Node] * 3


@case
def local_class() -> Any:
    class Local:
        pass

    return Local


@case
def local_function_in_list() -> Any:
    def local() -> None:
        pass

    return [1, {"f": local}]


class Impostor:
    """Pretends to be `Plain`, which is another object."""


Impostor.__qualname__ = "Plain"
add("class_of_another_object", lambda: Impostor)


class Missing:
    pass


Missing.__qualname__ = "NotThere"
add("class_not_found", lambda: Missing)


class NoModule:
    pass


NoModule.__module__ = "no_such_module_at_all"
add("class_in_missing_module", lambda: NoModule)


class NonAscii:
    pass


NonAscii.__qualname__ = NonAscii.__name__ = "Glöb€"
globals()["Glöb€"] = NonAscii
add("class_with_non_ascii_name", lambda: [NonAscii, NonAscii(), NonAscii])


class ModuleNone:
    pass


ModuleNone.__module__ = None  # type: ignore[assignment]
add("class_with_module_none", lambda: ModuleNone)


def without_module() -> None:
    pass


without_module.__module__ = None  # type: ignore[assignment]
add("function_with_module_none", lambda: [without_module, without_module])


class FreshModule(type):
    """`__module__` and `__qualname__` are new strings on each look-up."""

    def __getattribute__(cls, name: str) -> Any:
        if name == "__module__":
            return "".join(["cor", "pus"])
        if name == "__qualname__":
            return "".join(["OfFresh", "Module"])
        return super().__getattribute__(name)


OfFreshModule = FreshModule("OfFreshModule", (), {})
add("class_with_fresh_names", lambda: [OfFreshModule, 1, "corpus", OfFreshModule])


@case
def unpicklable_things() -> Any:
    return [1, (2, sys)]


case_values("unpicklable", [sys, (x for x in ()), module_function.__code__, sys._getframe()])

# --- instances ------------------------------------------------------------------------------


@case
def plain_instance() -> Any:
    return Plain(a=1, b="two", c=[3])


@case
def plain_instance_empty() -> Any:
    return Plain()


@case
def plain_instances_many() -> Any:
    return [Plain(a=i, b=str(i)) for i in range(500)]


@case
def plain_instances_shared() -> Any:
    x = Plain(a=[1])
    return [x, x, (x, x), {"x": x}]


@case
def instance_and_its_dict() -> Any:
    x = Plain(a=1, b=2)
    return [x, x.__dict__, x]


@case
def dict_of_instance_first() -> Any:
    x = Plain(a=1, b=2)
    return [x.__dict__, x, x.__dict__]


@case
def instances_sharing_a_dict() -> Any:
    x, y = Plain(a=1), Plain()
    y.__dict__ = x.__dict__
    return [x, y]


@case
def instance_dict_replaced() -> Any:
    x = Plain(a=1)
    x.__dict__ = {"b": 2, "c": 3}
    return [x, x]


@case
def instance_dict_subclass() -> Any:
    x = Plain(a=1)
    x.__dict__ = DictChild({"b": 2})
    return [x, x.__dict__]


@case
def instance_dict_ordered() -> Any:
    x = Plain(a=1)
    x.__dict__ = collections.OrderedDict([("b", 2), ("a", 1)])
    return x


@case
def instance_non_str_keys() -> Any:
    x = Plain(a=1)
    x.__dict__[1] = "int key"
    x.__dict__[("t",)] = "tuple key"
    return x


@case
def instance_str_child_keys() -> Any:
    x = Plain(a=1)
    x.__dict__[StrChild("b")] = 2
    return x


@case
def instance_key_not_interned() -> Any:
    x = Plain()
    x.__dict__["".join(["long name", " with spaces"])] = 1
    y = Plain()
    y.__dict__["".join(["long name", " with spaces"])] = 1
    return [x, y]


@case
def instance_deleted_attributes() -> Any:
    x = Plain(a=1, b=2, c=3)
    del x.b
    y = Plain(a=1)
    del y.a
    return [x, y, Plain(a=1, b=2, c=3)]


@case
def instance_deleted_and_set_again() -> Any:
    x = Plain(a=1, b=2, c=3)
    del x.a
    x.a = "last"
    return [x, vars(x)]


@case
def instance_attribute_orders() -> Any:
    return [Plain(a=1, b=2, c=3), Plain(c=3, a=1, b=2), Plain(b=2), Plain(c=1, b=2, a=3)]


@case
def instance_materialised_dict() -> Any:
    x, y = Plain(a=1, b=2), Plain(a=1, b=2)
    vars(x)
    return [x, y]


for _n in (1, 5, 29, 30, 31, 32, 40, 100, 1000, 1001):
    add(f"instance_of_{_n}_attributes", lambda n=_n: Many(n))


@case
def instance_recursive() -> Any:
    x = Plain()
    x.self = x
    return x


@case
def instance_recursive_through_tuple() -> Any:
    x = Plain()
    x.t = (x, [x])
    return [x.t, x]


@case
def instance_ring() -> Any:
    return make_ring(30)


@case
def instance_mutual() -> Any:
    x, y = Plain(), Plain()
    x.other, y.other = y, x
    return [x, {"y": y}]


@case
def instances_nested_before_the_last_name() -> Any:
    """The inner one writes a name first that only the class's shared keys hold."""
    outer, inner = NamesInKeys(), NamesInKeys()
    names = ["".join(["only_in_", "keys_", part]) for part in "abc"]
    vars(outer).update(zip(names, [inner, None, 1]))
    vars(inner).update(zip(names, [None, None, 2]))
    return [outer, inner]


@case
def instance_with_class_attribute_only() -> Any:
    return [Child(), Child(a=1)]


def _instance_dict_override(name: str, value: Any) -> Any:
    x = Plain(a=1)
    x.__dict__[name] = value
    return [Plain(a=0), x, Plain(a=2)]


add("instance_dict_reduce_ex", lambda: _instance_dict_override("__reduce_ex__", _reduce_ex_in_dict))
add("instance_dict_reduce", lambda: _instance_dict_override("__reduce__", _reduce_in_dict))
add("instance_dict_getstate", lambda: _instance_dict_override("__getstate__", _getstate_in_dict))
add("instance_dict_getnewargs", lambda: _instance_dict_override("__getnewargs__", tuple))
add(
    "instance_dict_getnewargs_ex", lambda: _instance_dict_override("__getnewargs_ex__", _ex_in_dict)
)
add("instance_dict_setstate", lambda: _instance_dict_override("__setstate__", print))
add("instance_dict_class", lambda: _instance_dict_override("__class__", Node))
add("instance_dict_dict", lambda: _instance_dict_override("__dict__", {"other": 1}))
add("instance_dict_dunder", lambda: _instance_dict_override("__anything__", 1))
add("instance_dict_reduce_ex_none", lambda: _instance_dict_override("__reduce_ex__", None))


def _reduce_ex_in_dict(protocol: int) -> Any:
    return build, ("from the instance",)


def _reduce_in_dict() -> Any:
    return build, ("from the instance",)


def _getstate_in_dict() -> Any:
    return {"from": "the instance"}


def _ex_in_dict() -> Any:
    return (1,), {"k": 2}


@case
def slots_both_set() -> Any:
    return Slotted(1, [2])


@case
def slots_one_unset() -> Any:
    x = Slotted(1, 2)
    del x.b
    return [x, Slotted(3, 4)]


@case
def slots_all_unset() -> Any:
    x = Slotted()
    del x.a, x.b
    return x


@case
def slots_inherited() -> Any:
    x = SlottedChild(1, 2)
    x.c = "child"
    return [x, SlottedChild(3, 4)]


@case
def slots_and_dict() -> Any:
    x = SlotsAndDict(1, 2)
    y = SlotsAndDict(1, 2)
    y.extra = "in dict"
    return [x, y]


@case
def slots_weakref() -> Any:
    x = WeakSlots()
    x.a = 1
    ref = weakref.ref(x)
    assert ref() is x
    return [x, WeakSlots()]


@case
def slots_with_dict_slot() -> Any:
    x = DictSlots()
    x.a = 1
    x.b = 2
    return [x, DictSlots()]


@case
def slots_single_string() -> Any:
    x = OneSlot()
    x.only = [x]
    return x


@case
def slots_private() -> Any:
    return [PrivateSlots(), _UnderPrivate()]


@case
def slots_none() -> Any:
    return NoSlots()


@case
def slots_recursive() -> Any:
    x = Slotted()
    x.a = x
    x.b = (x, [x])
    return x


@case
def slots_getstate() -> Any:
    return SlotsGetState(1, 2)


@case
def slots_shared_values() -> Any:
    value = [1]
    return [Slotted(value, value), Slotted(value, (value,))]


@case
def descriptor_over_state() -> Any:
    return Descriptor()


for _label, _make_state in {
    "none": lambda: None,
    "false": lambda: False,
    "zero": lambda: 0,
    "empty_dict": dict,
    "empty_tuple": tuple,
    "str": lambda: "state",
    "list": lambda: [1, 2],
    "pair": lambda: ({"a": 1}, {"b": 2}),
    "pair_none": lambda: (None, {"b": 2}),
    "triple": lambda: (1, 2, 3),
    "instance": lambda: Plain(a=1),
}.items():
    add(f"getstate_{_label}", lambda make=_make_state: [State(make()), State(make())])
    add(f"getstate_without_setstate_{_label}", lambda make=_make_state: StateNoSet(make()))


@case
def getstate_returns_own_dict() -> Any:
    x = State(None)
    x.state = x.__dict__
    return x


@case
def getstate_shared_between_two() -> Any:
    state = {"k": [1]}
    return [State(state), State(state)]


@case
def getnewargs() -> Any:
    return [NewArgs(), NewArgs(1), NewArgs(1, [2], "three")]


@case
def getnewargs_ex() -> Any:
    return [NewArgsEx(), NewArgsEx(1), NewArgsEx(k=1), NewArgsEx(1, [2], k=3, other="x")]


@case
def getnewargs_shared_args() -> Any:
    x = NewArgs([1], "s")
    return [x, x.args, x]


@case
def getnewargs_ex_shared() -> Any:
    x = NewArgsEx([1], k={"a": 1})
    return [x, x.args, x.kwargs, x]


for _label, _bad in {"none": None, "list": [1], "int": 3, "pair": (1, 2)}.items():
    add(f"getnewargs_bad_{_label}", lambda bad=_bad: BadNewArgs(bad))
    add(f"getnewargs_ex_bad_{_label}", lambda bad=_bad: BadNewArgsEx(bad))


@case
def getinitargs_ignored() -> Any:
    return GetInitArgs(1, 2)


@case
def dataclasses_of_every_kind() -> Any:
    return [
        Data(1),
        FrozenData([2]),
        SlotData(3, "x"),
        FrozenSlotData(4),
        Data(1, c={"k": Data(2)}),
    ]


@case
def dataclasses_many() -> Any:
    return [Data(i, str(i), [i]) for i in range(400)]


@case
def slot_dataclasses_many() -> Any:
    return [SlotData(i, str(i)) for i in range(400)]


@case
def enums() -> Any:
    return [*Colour, *Level, *Permission, *IntPermission, Word.YES, Colour.RED, Colour.CRIMSON]


@case
def flags_combined() -> Any:
    return [Permission.READ | Permission.WRITE, Permission(0), IntPermission(7), IntPermission(0)]


@case
def enum_classes() -> Any:
    return [Colour, Level, Permission, IntPermission, Word, enum.Enum]


@case
def namedtuples() -> Any:
    return [Point(1, 2), Point([1]), Pair("a", "b"), Point(Pair(1, 2), ()), Point(1, 2)]


@case
def namedtuples_many() -> Any:
    return [Point(i, str(i)) for i in range(300)]


@case
def namedtuple_recursive() -> Any:
    inner: list[Any] = []
    value = Point(inner, "y")
    inner.append(value)
    return value


@case
def subclasses_of_builtins() -> Any:
    return [
        ListChild([1, 2]),
        DictChild(a=1),
        SetChild([1]),
        FrozenChild([2]),
        TupleChild((1, 2)),
        StrChild("s"),
        BytesChild(b"b"),
        BytearrayChild(b"ba"),
        IntChild(7),
        FloatChild(1.5),
        ComplexChild(1j),
        StrSlots("slots"),
    ]


@case
def subclasses_of_builtins_empty() -> Any:
    classes = [ListChild, DictChild, SetChild, FrozenChild, TupleChild, StrChild, BytesChild]
    return [cls() for cls in [*classes, BytearrayChild, IntChild, FloatChild, ComplexChild]]


@case
def subclasses_with_state() -> Any:
    values = [ListChild([1]), DictChild(a=1), SetChild([1]), TupleChild((1,)), StrChild("s")]
    for value in [*values, IntChild(1), BytesChild(b"x"), FrozenChild([1])]:
        value.extra = [value.__class__]
        values.append(value)
    return values


@case
def list_child_recursive() -> Any:
    value = ListChild()
    value.append(value)
    value.me = value
    return value


@case
def dict_child_recursive() -> Any:
    value = DictChild()
    value["self"] = value
    value.me = [value]
    return value


@case
def tuple_child_recursive() -> Any:
    inner: list[Any] = []
    value = TupleChild((inner, 1))
    inner.append(value)
    return value


@case
def set_child_recursive() -> Any:
    value = SetChild([1])
    value.me = value
    return value


@case
def list_with_own_iter() -> Any:
    return ListOverIter([1, 2, 3])


@case
def dict_with_own_items() -> Any:
    return DictOverItems(x=1)


@case
def list_child_with_state() -> Any:
    return ListChildWithState([1, 2], name="n")


# --- standard library -----------------------------------------------------------------------

_UTC = datetime.timezone.utc


@case
def datetimes() -> Any:
    tz = datetime.timezone(datetime.timedelta(hours=-3, minutes=-30), "NST")
    when = datetime.datetime(2026, 11, 22, 4, 5, 6, 789)
    return [
        when,
        when.replace(tzinfo=_UTC),
        when.replace(tzinfo=tz),
        when.replace(fold=1),
        when.date(),
        when.time(),
        when.timetz().replace(tzinfo=tz, fold=1),
        datetime.timedelta(days=-1, seconds=5, microseconds=7),
        tz,
        _UTC,
        datetime.date.min,
        datetime.datetime.max,
    ]


@case
def datetimes_many() -> Any:
    start = datetime.datetime(2020, 1, 1)
    return [start + datetime.timedelta(hours=i) for i in range(300)]


@case
def decimals() -> Any:
    texts = ["0", "-0", "1.5", "1E+100", "NaN", "-Infinity", "123456789.987654321"]
    return [decimal.Decimal(text) for text in texts]


@case
def fractions_and_uuids() -> Any:
    return [
        fractions.Fraction(-3, 7),
        fractions.Fraction(0),
        uuid.UUID(int=2**100),
        uuid.UUID(int=0),
    ]


@case
def paths() -> Any:
    return [pathlib.PurePosixPath("/a/b"), pathlib.PureWindowsPath("c:\\x"), pathlib.Path("rel/x")]


@case
def ordered_dicts() -> Any:
    value = collections.OrderedDict(b=1, a=2)
    value.move_to_end("b")
    other = collections.OrderedDict(x=1)
    other.extra = "state"
    return [value, other, collections.OrderedDict()]


@case
def ordered_dict_recursive() -> Any:
    value: Any = collections.OrderedDict()
    value["self"] = value
    return value


@case
def defaultdicts() -> Any:
    value: Any = collections.defaultdict(list)
    value["a"].append(value)
    return [value, collections.defaultdict(None, x=1), collections.defaultdict(int)]


@case
def deques() -> Any:
    value: Any = collections.deque([1, 2, 3], maxlen=5)
    value.append(value)
    return [value, collections.deque(), collections.deque("ab", 1)]


@case
def counters_and_chainmaps() -> Any:
    return [collections.Counter("abracadabra"), collections.ChainMap({"a": 1}, {"b": 2})]


@case
def user_collections() -> Any:
    return [collections.UserDict(a=1), collections.UserList([1]), collections.UserString("s")]


@case
def exceptions() -> Any:
    plain = ValueError("text", 1)
    with_state = KeyError("k")
    with_state.extra = [1]
    linked = Linked("a")
    linked.__cause__ = plain
    return [plain, with_state, linked, Fails("x", extra=2), OSError(2, "No such file", "name")]


@case
def exceptions_more() -> Any:
    noted = ValueError("v")
    noted.add_note("a note")
    group = ExceptionGroup("g", [ValueError(1), TypeError("t")])
    decode = UnicodeDecodeError("ascii", b"\xff", 0, 1, "ordinal")
    return [noted, group, decode, StopIteration(3), SystemExit(2), ImportError("m", name="n")]


@case
def partials() -> Any:
    value = functools.partial(int, base=2)
    other = functools.partial(build, 1, [2])
    other.attribute = "x"
    return [value, other, functools.partial(functools.partial(build, 1), 2)]


@case
def ranges_and_slices() -> Any:
    return [range(10), range(2**70, 0, -3), range(0), slice(1), slice(None, 2, [3]), slice(1, 2)]


@case
def patterns() -> Any:
    return [re.compile("a+"), re.compile(b"[x]", re.DOTALL), re.compile("a+")]


@case
def arrays() -> Any:
    return [array.array("i", range(5)), array.array("d"), array.array("B", b"xyz")]


@case
def large_array() -> Any:
    return array.array("d", [0.5]) * 10000


@case
def namespaces_and_proxies() -> Any:
    return [types.SimpleNamespace(a=1, b=[2]), types.SimpleNamespace()]


@case
def generic_aliases() -> Any:
    return [list[int], dict[str, list[int]], int | None, typing.Optional[int], typing.Any]


@case
def typing_things() -> Any:
    return [typing.List, typing.Union[int, str], typing.Callable[[int], str], typing.NamedTuple]


@case
def iterators() -> Any:
    return [iter([1, 2]), iter((1,)), iter({}), enumerate("ab"), zip([1], [2]), reversed([1, 2])]


@case
def itertools_objects() -> Any:
    return [itertools.count(3), itertools.repeat(1, 2), itertools.cycle("ab")]


@case
def operator_objects() -> Any:
    return [operator.itemgetter(1, 2), operator.attrgetter("a.b"), operator.methodcaller("x", 1)]


@case
def addresses() -> Any:
    return [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_network("fe80::/64")]


@case
def message() -> Any:
    value = email.message.EmailMessage()
    value["Subject"] = "hello"
    value.set_content("body\n")
    return value


@case
def random_state() -> Any:
    return random.Random(7)


@case
def zones() -> Any:
    return [zoneinfo.ZoneInfo(key) for key in sorted(zoneinfo.available_timezones())[:3]]


@case
def weak_references() -> Any:
    return [weakref.ref(Plain)]


@case
def methods() -> Any:
    x = Outer()
    return [x.method, x, Outer.Inner().method, "abc".upper, [1].append, Outer.class_method]


@case
def properties_and_descriptors() -> Any:
    return [property(len)]


# --- reduce values --------------------------------------------------------------------------


def reduce_case(name: str, make_value: Callable[[Any, int], Any]) -> None:
    """A case whose object returns what *make_value(self, protocol)* returns, twice in a list."""
    add(f"reduce_{name}", lambda: [Reduces(make_value), 1, Reduces(make_value)])
    add(f"reduce_shared_{name}", lambda: [x := Reduces(make_value), x, (x,)])


class NewObj:
    def __new__(cls, *args: Any) -> Any:
        return super().__new__(cls)


def __newobj__(cls: Any, *args: Any) -> Any:
    return cls.__new__(cls, *args)


def __newobj_ex__(cls: Any, args: Any, kwargs: Any) -> Any:
    return cls.__new__(cls, *args, **kwargs)


reduce_case("str", lambda self, protocol: "module_function")
reduce_case("str_dotted", lambda self, protocol: "Outer.Inner")
reduce_case("str_missing", lambda self, protocol: "not_there")
reduce_case("str_child", lambda self, protocol: StrChild("module_function"))
reduce_case("two", lambda self, protocol: (build, ("a", [1])))
reduce_case("two_no_args", lambda self, protocol: (build, ()))
reduce_case("two_class", lambda self, protocol: (Built, (1,)))
reduce_case("two_method", lambda self, protocol: (Outer.static_method, ()))
reduce_case("three", lambda self, protocol: (build, (1,), {"a": 1}))
reduce_case("three_none", lambda self, protocol: (build, (1,), None))
reduce_case("three_falsy", lambda self, protocol: (build, (1,), 0))
reduce_case("three_slots", lambda self, protocol: (build, (1,), (None, {"a": 1})))
reduce_case("four", lambda self, protocol: (build, (), None, iter([1, 2])))
reduce_case("four_one", lambda self, protocol: (build, (), None, iter([1])))
reduce_case("four_empty", lambda self, protocol: (build, (), None, iter([])))
reduce_case("four_generator", lambda self, protocol: (build, (), None, ([i] for i in range(3))))
reduce_case("five", lambda self, protocol: (build, (), None, None, iter([("k", "v"), (1, 2)])))
reduce_case("five_one", lambda self, protocol: (build, (), None, None, iter([("k", "v")])))
reduce_case("five_empty", lambda self, protocol: (build, (), None, None, iter([])))
reduce_case("five_tuple_child", lambda self, protocol: (build, (), None, None, iter([Point(1, 2)])))
reduce_case("six", lambda self, protocol: (build, (), [1], None, None, set_state))
reduce_case("six_none_state", lambda self, protocol: (build, (), None, None, None, set_state))
reduce_case("six_none_setter", lambda self, protocol: (build, (), {"a": 1}, None, None, None))
reduce_case("six_all", lambda self, p: (build, (1,), [2], iter([3]), iter([(4, 5)]), set_state))
reduce_case("copyreg_newobj", lambda self, protocol: (copyreg.__newobj__, (Reduces, 1, [2])))
reduce_case("copyreg_newobj_state", lambda self, p: (copyreg.__newobj__, (Reduces,), {"a": 1}))
reduce_case("copyreg_newobj_wrong_class", lambda self, p: (copyreg.__newobj__, (Plain,)))
reduce_case("copyreg_newobj_no_args", lambda self, protocol: (copyreg.__newobj__, ()))
reduce_case("copyreg_newobj_not_class", lambda self, protocol: (copyreg.__newobj__, (1,)))
reduce_case("newobj_ex", lambda self, p: (copyreg.__newobj_ex__, (Reduces, (1,), {"k": [2]})))
reduce_case("newobj_ex_empty", lambda self, p: (copyreg.__newobj_ex__, (Reduces, (), {})))
reduce_case("newobj_ex_other_class", lambda self, p: (copyreg.__newobj_ex__, (Plain, (), {"a": 1})))
reduce_case("newobj_ex_short", lambda self, protocol: (copyreg.__newobj_ex__, (Reduces, ())))
reduce_case("newobj_ex_bad_class", lambda self, protocol: (copyreg.__newobj_ex__, (1, (), {})))
reduce_case("newobj_ex_bad_args", lambda self, p: (copyreg.__newobj_ex__, (Reduces, [], {})))
reduce_case("newobj_ex_bad_kwargs", lambda self, p: (copyreg.__newobj_ex__, (Reduces, (), [])))
reduce_case("own_newobj", lambda self, protocol: (__newobj__, (Reduces, 1)))
reduce_case("own_newobj_ex", lambda self, protocol: (__newobj_ex__, (Reduces, (), {})))
reduce_case("tuple_child", lambda self, protocol: TupleChild((build, (1,))))
reduce_case("args_tuple_child", lambda self, protocol: (build, TupleChild((1,))))
reduce_case("to_itself_in_state", lambda self, protocol: (build, (), {"self": self}))
reduce_case("to_itself_in_items", lambda self, protocol: (build, (), None, iter([self])))
reduce_case("to_itself_in_pairs", lambda self, p: (build, (), None, None, iter([(1, self)])))
reduce_case("to_list_class", lambda self, protocol: (list, ((1, 2),)))
reduce_case("to_reconstructor", lambda self, p: (copyreg._reconstructor, (Reduces, object, None)))
reduce_case("to_getattr", lambda self, protocol: (getattr, (Outer, "Inner")))
reduce_case("none", lambda self, protocol: None)
reduce_case("list", lambda self, protocol: [build, ()])
reduce_case("int", lambda self, protocol: 5)
reduce_case("empty", lambda self, protocol: ())
reduce_case("one", lambda self, protocol: (build,))
reduce_case("seven", lambda self, protocol: (build, (), None, None, None, None, None))
reduce_case("not_callable", lambda self, protocol: (5, ()))
reduce_case("args_list", lambda self, protocol: (build, [1]))
reduce_case("args_none", lambda self, protocol: (build, None))
reduce_case("items_list", lambda self, protocol: (build, (), None, [1]))
reduce_case("items_int", lambda self, protocol: (build, (), None, 1))
reduce_case("pairs_dict", lambda self, protocol: (build, (), None, None, {}))
reduce_case("pairs_of_lists", lambda self, protocol: (build, (), None, None, iter([[1, 2]])))
reduce_case("pairs_of_three", lambda self, protocol: (build, (), None, None, iter([(1, 2, 3)])))
reduce_case("pairs_bad_second", lambda self, p: (build, (), None, None, iter([(1, 2), 5])))
reduce_case("setter_int", lambda self, protocol: (build, (), {}, None, None, 5))
reduce_case("unpicklable_callable", lambda self, protocol: (lambda: None, ()))
reduce_case("unpicklable_args", lambda self, protocol: (build, (1, sys)))
reduce_case("unpicklable_state", lambda self, protocol: (build, (), {"a": sys}))
reduce_case("unpicklable_item", lambda self, protocol: (build, (), None, iter([1, sys])))
reduce_case("unpicklable_pair", lambda self, p: (build, (), None, None, iter([(1, 2), (3, sys)])))
reduce_case("unpicklable_setter", lambda self, p: (build, (), 1, None, None, lambda o, s: None))

for _kind in ("state", "listitems", "dictitems", "setter"):
    add(f"recursive_reduce_{_kind}", lambda kind=_kind: [RecursiveReduce(kind), 1])


@case
def reduce_plainly() -> Any:
    return [ReducesPlainly((build, (1,))), DefaultReduceEx(), SuperReduceEx()]


@case
def reduce_args_recursive() -> Any:
    ring = Ring()
    ring.holder = [ring]
    return ring.holder


@case
def reduce_args_shared() -> Any:
    args = ([1], "x")
    return [Reduces((build, args)), args, Reduces((build, args))]


@case
def reduce_value_kept() -> Any:
    value = (build, ([1], "x"), {"s": 1})
    return [Reduces(value), Reduces(value), value[1], value[2]]


@case
def no_reduce_at_all() -> Any:
    class NoReduce:
        __reduce_ex__ = None
        __reduce__ = None

    return NoReduce()


@case
def getattr_instances() -> Any:
    return [GetAttr(), GetAttr()]


@case
def getattribute_instances() -> Any:
    return [GetAttrAll()]


@case
def class_property_instances() -> Any:
    return ClassProperty()


@case
def dict_property_instances() -> Any:
    return [DictProperty(), DictProperty()]


@case
def counting_meta_instances() -> Any:
    return [OfCountingMeta(), OfCountingMeta(), OfCountingMeta]


@case
def meta_instances() -> Any:
    return [OfMeta(), OfReducingMeta(), OfMeta]


@case
def super_objects() -> Any:
    return super(Child, Child(a=1))


# --- documents of mixed content -------------------------------------------------------------


@case
def document() -> Any:
    return {
        "id": uuid.UUID(int=5),
        "when": datetime.datetime(2026, 1, 2, tzinfo=_UTC),
        "tags": {"a", "b"},
        "rows": [Point(i, float(i)) for i in range(5)],
        "meta": {"enum": Colour.RED, "path": pathlib.PurePosixPath("/x"), "n": None},
        "blob": bytes(range(256)),
        "text": "naïve — 😀",
        "amount": decimal.Decimal("1.10"),
        "nested": [Data(1, [Data(2, (Data(3),))])],
    }


if sys.version_info >= (3, 15):
    import builtins

    @case
    def frozendicts() -> Any:
        frozendict = builtins.frozendict  # type: ignore[attr-defined]
        inner: list[Any] = []
        value = frozendict(a=1, b=inner)
        inner.append(value)
        return [value, frozendict(), frozendict({(1,): "x"})]
