"""Objects that are written without asking their reduce methods: same bytes as C, whatever was changed.

Each maker gives objects of the standard library or of its classes' subclasses; they are compared alone, many
together, shared, next to objects that run user code in the middle, and with a class, an instance or a registry
changed between two dumps. Speed is not a matter here.
"""

from __future__ import annotations

import ast
import collections
import copyreg
import datetime
import decimal
import fractions
import io
import pathlib
import sys
import typing
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from support import PROTOCOLS, WAYS, agree, attempt, c, ox, same_bytes

pytestmark = pytest.mark.filterwarnings("ignore:Pickle, copy, and deepcopy:DeprecationWarning")


class OwnDict(dict):
    pass


class OwnList(list):
    pass


class SlotList(list):
    __slots__ = ("a",)


class OverItems(dict):
    def items(self):
        return [("over", 1)]


class OverIter(list):
    def __iter__(self):
        return iter(["over"])


class OverGetItem(dict):
    def __getitem__(self, key):
        raise KeyError(key)

    def __missing__(self, key):
        return 1

    def __len__(self):
        return 77


class Slots:
    __slots__ = ("a", "b", "__private")

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)


class OneSlot:
    __slots__ = ("one", "__weakref__")


class UnderSlots(Slots):
    __slots__ = ("c",)


class SlotsDict(Slots):
    pass


class SlotProperty(Slots):
    @property
    def a(self):
        return "property"


class Named(typing.NamedTuple):
    x: Any
    y: Any = 1


Triple = collections.namedtuple("Triple", "a b c")
Many = collections.namedtuple("Many", "a b c d e")
Empty = collections.namedtuple("Empty", "")


class SlottedNamed(Triple):
    __slots__ = ()


class NamedWithDict(Triple):
    pass


class ManyWithDict(Many):
    pass


class NamedOverIter(Triple):
    __slots__ = ()

    def __iter__(self):
        return iter("xyz")


class OwnOrdered(collections.OrderedDict):
    pass


class OwnDefault(collections.defaultdict):
    pass


class OwnDeque(collections.deque):
    pass


class OwnCounter(collections.Counter):
    pass


class CounterOverIter(collections.Counter):
    def __iter__(self):
        return iter(["a"])

    def keys(self):
        return ["a"]


class OwnDateTime(datetime.datetime):
    pass


class ReducingDateTime(datetime.datetime):
    def __reduce__(self):
        return OwnDateTime, (2001, 1, 1)


class OwnDate(datetime.date):
    pass


class OwnDelta(datetime.timedelta):
    pass


class OwnDecimal(decimal.Decimal):
    def __str__(self):
        return "not this"


class OwnFraction(fractions.Fraction):
    pass


class OwnUuid(uuid.UUID):
    pass


class Failure(Exception):
    pass


class FailureWithSlots(Failure):
    __slots__ = ("extra",)


class KeywordFailure(Exception):
    def __init__(self, *, name: str) -> None:
        super().__init__(name)
        self.name = name


class OwnPath(pathlib.PurePosixPath):
    pass


class OwnNode(ast.Name):
    _fields = ("x",)


class Zone(datetime.tzinfo):
    def __init__(self, name: str = "zone") -> None:
        self.name = name

    def utcoffset(self, moment: Any) -> Any:
        return datetime.timedelta(0)


class Reduces:
    """User code in the middle: thaws the world."""

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __reduce__(self):
        return Reduces, (self.value,)


class Refuses:
    def __reduce__(self):
        raise LookupError("refused")


def text(n: int = 0) -> str:
    """A str that nobody else has."""
    return "".join(["text ", str(n)])


def noted(error: BaseException, **attributes: Any) -> BaseException:
    vars(error).update(attributes)
    return error


def moved() -> Any:
    od = collections.OrderedDict((text(i), i) for i in range(5))
    od.move_to_end(text(1))
    od.move_to_end(text(3), last=False)
    return od


def deleted() -> Any:
    od = collections.OrderedDict((i, text(i)) for i in range(20))
    for i in range(0, 20, 3):
        del od[i]
    od[3] = "again"
    return od


def emptied(obj: Any) -> Any:
    obj.attribute = 1
    del obj.attribute
    return obj


def with_dict(obj: Any, **attributes: Any) -> Any:
    obj.__dict__.update(attributes)
    return obj


def rotated() -> Any:
    d = collections.deque(range(300))
    d.rotate(77)
    d.popleft()
    d.appendleft(text())
    return d


UTC = datetime.timezone.utc
D = decimal.Decimal

#: One object each, made afresh.
MAKERS: dict[str, Callable[[], Any]] = {
    "dict": lambda: OwnDict(a=text(), b=[1]),
    "dict empty": OwnDict,
    "dict one": lambda: OwnDict({text(): text(1)}),
    "dict with state": lambda: with_dict(OwnDict(a=1), extra=text(), more=[2]),
    "dict with items in it": lambda: with_dict(OwnDict(a=1), items=lambda: [(1, 2)]),
    "dict over items": lambda: OverItems(a=1),
    "dict over getitem": lambda: OverGetItem(a=1, b=2),
    "list": lambda: OwnList([1, text(), [2]]),
    "list empty": OwnList,
    "list one": lambda: OwnList([text()]),
    "list with state": lambda: with_dict(OwnList([1, 2]), extra=text()),
    "list over iter": lambda: OverIter([1]),
    "list with slots": lambda: SlotList([1]),
    "slots": lambda: Slots(a=text(), b=[1]),
    "slots none set": Slots,
    "slots some": lambda: Slots(b=text()),
    "slots private": lambda: Slots(_Slots__private=text(), a=1),
    "slots one": lambda: _one_slot(),
    "slots under": lambda: UnderSlots(a=1, c=text(), b=2),
    "slots and empty dict": lambda: SlotsDict(a=1),
    "slots and dict": lambda: with_dict(SlotsDict(a=1), x=text()),
    "slots under a property": lambda: SlotProperty(b=1),
    "named": lambda: Named(text()),
    "triple": lambda: Triple(text(), [1], None),
    "many": lambda: Many(1, text(), 2.5, b"bytes", (1, 2)),
    "empty": Empty,
    "slotted named": lambda: SlottedNamed(1, 2, text()),
    "named with dict": lambda: with_dict(NamedWithDict(1, 2, 3), x=1),
    "named without attributes": lambda: NamedWithDict(text(), [1], 3),
    "named with an empty dict": lambda: emptied(ManyWithDict(1, text(), [3], 4, 5)),
    "named over iter": lambda: NamedOverIter(1, 2, 3),
    "ordered": lambda: collections.OrderedDict(a=text(), b=[1], c=2),
    "ordered empty": collections.OrderedDict,
    "ordered one": lambda: collections.OrderedDict({text(): 1}),
    "ordered moved": moved,
    "ordered deleted": deleted,
    "ordered with state": lambda: with_dict(collections.OrderedDict(a=1), x=text()),
    "own ordered": lambda: with_dict(OwnOrdered(a=1, b=2), x=1),
    "own ordered empty": OwnOrdered,
    "default": lambda: collections.defaultdict(list, {1: [text()]}),
    "default none": lambda: collections.defaultdict(None, {1: 2, 3: 4}),
    "default function": lambda: collections.defaultdict(text, a=1),
    "default of an instance": lambda: collections.defaultdict(OwnList, a=1),
    "own default": lambda: with_dict(OwnDefault(int, a=1), x=2),
    "deque": lambda: collections.deque([text(), 1, [2]]),
    "deque empty": collections.deque,
    "deque one": lambda: collections.deque([text()]),
    "deque maxlen": lambda: collections.deque([1, 2], 300),
    "deque maxlen 0": lambda: collections.deque([], 0),
    "deque maxlen huge": lambda: collections.deque([1], 2**40),
    "deque rotated": rotated,
    "own deque": lambda: with_dict(OwnDeque([1, 2], 5), x=text()),
    "counter": lambda: collections.Counter(["a", "b", text(), text()]),
    "counter empty": collections.Counter,
    "counter one": lambda: collections.Counter([text()]),
    "own counter": lambda: with_dict(OwnCounter("ab"), x=1),
    "counter over iter": lambda: CounterOverIter("abc"),
    "datetime": lambda: datetime.datetime(2026, 5, 1, 12, 30, 15, 999999),
    "datetime fold": lambda: datetime.datetime(2026, 5, 1, fold=1),
    "datetime utc": lambda: datetime.datetime(2026, 5, 1, tzinfo=UTC),
    "datetime zone": lambda: datetime.datetime(2026, 5, 1, tzinfo=Zone()),
    "own datetime": lambda: with_dict(OwnDateTime(2026, 5, 1), x=1),
    "reducing datetime": lambda: ReducingDateTime(2026, 5, 1),
    "date": lambda: datetime.date(2026, 5, 1),
    "own date": lambda: with_dict(OwnDate(2026, 5, 1), x=1),
    "time": lambda: datetime.time(1, 2, 3, 4),
    "time fold": lambda: datetime.time(1, 2, 3, 4, fold=1),
    "time zone": lambda: datetime.time(1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
    "timedelta": lambda: datetime.timedelta(1, 70000, 3),
    "timedelta negative": lambda: datetime.timedelta(-70000, 5),
    "timedelta least": lambda: datetime.timedelta.min,
    "own timedelta": lambda: with_dict(OwnDelta(1), x=1),
    "timezone": lambda: datetime.timezone(datetime.timedelta(hours=1), text()),
    "decimal": lambda: D("19.90"),
    "decimal forms": lambda: [
        D(t) for t in ("0", "-0", "1E+400", "NaN", "sNaN5", "-Infinity", "1e-7", "0.000001", "1E6")
    ],
    "decimal long": lambda: D("1" * 255),
    "decimal longer": lambda: D("1" * 256),
    "own decimal": lambda: OwnDecimal("1.5"),
    "exception": lambda: Failure(text(), 1),
    "exception without arguments": Failure,
    "exception with state": lambda: noted(Failure(text()), a=[1], b=text()),
    "exception with empty dict": lambda: noted(ValueError(text())),
    "exception keyword": lambda: KeywordFailure(name=text()),
    "exception slots": lambda: FailureWithSlots(1),
    "exception with note": lambda: _with_note(ValueError("a")),
    "exception os": lambda: FileNotFoundError(2, text(), "name"),
    "exception import": lambda: ImportError("a", name="b", path="c"),
    "exception attribute": lambda: AttributeError("a", name="b", obj=1),
    "exception stop": lambda: StopIteration(text()),
    "exception unicode": lambda: UnicodeDecodeError("utf-8", b"a", 0, 1, "why"),
    "exception syntax": lambda: SyntaxError("a", ("f", 1, 2, "text")),
    "exception group": lambda: ExceptionGroup("a", [ValueError(text())]),
    "exception nested": lambda: Failure(Failure(text()), [Failure()]),
    "exception key": lambda: KeyError((1, text())),
    "uuid": lambda: uuid.UUID(int=2**100 + 1),
    "uuid zero": lambda: uuid.UUID(int=0),
    "uuid safe": lambda: uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe),
    "own uuid": lambda: _own_uuid(),
    "path": lambda: pathlib.PurePosixPath("/usr", text(), "lib"),
    "path empty": pathlib.PurePosixPath,
    "path windows": lambda: pathlib.PureWindowsPath("c:/a/b", text()),
    "path relative": lambda: pathlib.Path("a"),
    "path of many": lambda: pathlib.PurePosixPath(*map(text, range(7))),
    "path and its parts": lambda: _with_parts(pathlib.PurePosixPath("/usr", text(), "lib")),
    "own path": lambda: OwnPath("a", text()),
    "node": lambda: ast.parse("x = 1 + y"),
    "node alone": ast.Load,
    "node empty": lambda: ast.Name.__new__(ast.Name),
    "node of a class": lambda: with_dict(OwnNode(x=text()), extra=[1]),
    "node with the name of a method": lambda: with_dict(ast.Name("a"), __reduce__=lambda: "text"),
    "fraction": lambda: fractions.Fraction(2**70, 3),
    "fraction of bool": lambda: fractions.Fraction(True),
    "own fraction": lambda: with_dict(OwnFraction(1, 3), x=1),
}


def _one_slot() -> Any:
    obj = OneSlot()
    obj.one = text()
    return obj


def _own_uuid() -> Any:
    obj = OwnUuid(int=7)
    object.__setattr__(obj, "extra", text())
    return obj


def _with_parts(path: Any) -> Any:
    """The list that the parts are in, where there is one, is met by itself too."""
    parts = getattr(path, "_raw_paths", None) or getattr(path, "_parts", None)
    return [path, parts, parts[1], path.parts]


def _with_note(error: BaseException) -> BaseException:
    error.add_note(text())
    return error


#: Makers of objects around one value.
AROUND: dict[str, Callable[[Any], Any]] = {
    "dict value": lambda v: OwnDict({"k": v, text(): 2}),
    "dict value and state": lambda v: with_dict(OwnDict({"k": v}), after=text()),
    "dict state": lambda v: with_dict(OwnDict(a=text(), b=2), state=v, after=text()),
    "list item": lambda v: OwnList([text(), v, text()]),
    "list only item and state": lambda v: with_dict(OwnList([v]), after=text()),
    "list first of two": lambda v: OwnList([v, text()]),
    "slot": lambda v: Slots(a=v, b=text()),
    "last slot": lambda v: Slots(a=text(), b=v),
    "one slot": lambda v: Slots(b=v),
    "named": lambda v: Triple(text(), v, text(1)),
    "named of one": lambda v: Named(v),
    "named without attributes": lambda v: ManyWithDict(text(), v, [v], v, text()),
    "named of five": lambda v: Many(text(), v, [v], v, text()),
    "ordered": lambda v: collections.OrderedDict({"k": v, "l": text(), "m": v}),
    "ordered and state": lambda v: with_dict(collections.OrderedDict({"k": v}), after=text()),
    "default": lambda v: collections.defaultdict(list, {"k": v, "l": text()}),
    "deque": lambda v: collections.deque([text(), v, text(1), v]),
    "deque of blocks": lambda v: collections.deque([*map(text, range(70)), v, text(), [v]]),
    "deque maxlen": lambda v: collections.deque([v, text()], 2),
    "own deque": lambda v: with_dict(OwnDeque([v]), after=v),
    "counter": lambda v: collections.Counter({text(): 1, "k": v, "l": text()}),
    "counter of one": lambda v: collections.Counter({"k": v}),
    "exception": lambda v: Failure(text(), v, text(1)),
    "exception of one": lambda v: ValueError(v),
    "node": lambda v: ast.Constant(v, kind=text()),
    "exception state": lambda v: noted(Failure(text()), a=v, b=text()),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", MAKERS)
def test_object(name: str, protocol: int) -> None:
    make = MAKERS[name]
    same_bytes(make, [protocol])
    same_bytes(lambda: [make() for _ in range(4)], [protocol])
    same_bytes(lambda: [make(), (x := make()), x, [x]], [protocol])


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", AROUND)
def test_user_code_in_the_middle(name: str, protocol: int) -> None:
    around = AROUND[name]
    # The first object has its class written, so that the others begin in one go.
    same_bytes(lambda: [around(1), around(Reduces(text())), around(Reduces(2))], [protocol])
    same_bytes(
        lambda: [around(1), around([around(Reduces(1)), text()]), around(text())], [protocol]
    )
    same_bytes(lambda: [around(1), around(around(around(Reduces())))], [protocol])


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", AROUND)
def test_inside_each_other(name: str, protocol: int) -> None:
    around = AROUND[name]
    for other in AROUND.values():
        same_bytes(
            lambda: [around(1), other(1), around(other(text())), other(around(3))], [protocol]
        )


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", AROUND)
def test_shared_values(name: str, protocol: int) -> None:
    around = AROUND[name]

    def make() -> Any:
        value, other = [text()], around(text())
        return [around(1), around(value), around(value), around(other), (other, value)]

    same_bytes(make, [protocol])


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", AROUND)
def test_circle(name: str, protocol: int) -> None:
    """Through a list, so that the object is complete when it is met again in its own arguments."""
    around = AROUND[name]

    def make() -> Any:
        circle: list[Any] = []
        obj = around(circle)
        circle.append(obj)
        return [around(1), circle, obj]

    def begin_with_the_object() -> Any:
        circle: list[Any] = []
        obj = around(circle)
        circle.append(obj)
        return obj

    same_bytes(make, [protocol])
    same_bytes(begin_with_the_object, [protocol])
    same_bytes(lambda: [around(1), begin_with_the_object()], [protocol])


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("name", AROUND)
def test_errors_and_notes(name: str, protocol: int) -> None:
    around = AROUND[name]
    for wrap in (lambda v: v, lambda v: [v], lambda v: {"k": v}, around):
        obj = [around(1), around(wrap(Refuses()))]
        for way in ("dumps", "Pickler subclass"):
            ours = attempt(WAYS[way], ox, obj, protocol)
            agree(ours, attempt(WAYS[way], c, obj, protocol), name)


SIZES = [0, 1, 2, 999, 1000, 1001, 2000, 2001, 3000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_batches(size: int, protocol: int) -> None:
    def pairs() -> Any:
        return ((i, text(i)) for i in range(size))

    for make in (OwnDict, collections.OrderedDict, collections.Counter):
        same_bytes(lambda: [make(), make(pairs())], [protocol], ways=["dumps", "dump"])
    for cls in (OwnList, collections.deque):
        same_bytes(
            lambda: [cls(), cls(text(i) for i in range(size))], [protocol], ways=["dumps", "dump"]
        )


@pytest.mark.parametrize("at", [0, 1, 2, 998, 999, 1000, 1001, 1999, 2000])
@pytest.mark.parametrize("protocol", [2, 5])
def test_batches_with_user_code(at: int, protocol: int) -> None:
    def values() -> list[Any]:
        found: list[Any] = [text(i) for i in range(2001)]
        found[at] = Reduces(at)
        return found

    for make in (OwnDict, collections.OrderedDict, collections.Counter):
        same_bytes(
            lambda: [make(), make(dict(enumerate(values())))], [protocol], ways=["dumps", "dump"]
        )
    for cls in (OwnList, collections.deque):
        same_bytes(lambda: [cls(), cls(values())], [protocol], ways=["dumps", "dump"])


@pytest.mark.parametrize("name", [*MAKERS, *AROUND])
def test_frame_boundaries(name: str) -> None:
    """The end of a frame falls on every part of the object once."""
    make = MAKERS.get(name) or (lambda: AROUND[name](text()))
    for before in range(65536 - 330, 65536 - 20, 7):

        def frames(before: int = before) -> Any:
            return [make(), b"x" * before, make(), make(), text()]

        same_bytes(frames, [4], ways=["dumps", "write calls"], fresh=False)


@pytest.mark.parametrize("name", MAKERS)
def test_many_frames(name: str) -> None:
    make = MAKERS[name]
    same_bytes(lambda: [make() for _ in range(5000)], [5], ways=["write calls"], shared=False)


# --- borrowed methods ---

#: Methods and descriptors whose type is none of the class's bases.
BORROWED: dict[str, dict[str, Any]] = {
    "date": {"__reduce__": datetime.date.__reduce__},
    "datetime": {"__reduce_ex__": datetime.datetime.__reduce_ex__},
    "time": {"__reduce_ex__": datetime.time.__reduce_ex__},
    "timedelta": {"__reduce__": datetime.timedelta.__reduce__},
    "decimal": {"__reduce__": D.__reduce__},
    "exception": {"__reduce__": BaseException.__reduce__},
    "deque": {"__reduce__": collections.deque.__reduce__, "__iter__": collections.deque.__iter__},
    "default": {"__reduce__": collections.defaultdict.__reduce__},
    "ordered": {"__reduce__": collections.OrderedDict.__reduce__},
    "counter": {"__reduce__": collections.Counter.__reduce__},
    "node": {"__reduce__": ast.AST.__reduce__},
    "fraction": {
        "__reduce__": fractions.Fraction.__reduce__,
        "_numerator": fractions.Fraction._numerator,
        "_denominator": fractions.Fraction._denominator,
    },
    "uuid": {
        "__getstate__": uuid.UUID.__getstate__,
        "int": uuid.UUID.int,
        "is_safe": uuid.UUID.is_safe,
    },
    "path": {"__reduce__": pathlib.PurePath.__reduce__},
    "named": {"__getnewargs__": Triple.__getnewargs__},
    "slots": {"a": Slots.a, "b": Slots.b, "__slotnames__": ["a", "b"]},
}


class Borrows:
    pass


class BorrowsDict(dict):
    pass


@pytest.mark.parametrize("cls", [Borrows, BorrowsDict])
@pytest.mark.parametrize("name", BORROWED)
def test_borrowed_methods(name: str, cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for attribute, value in BORROWED[name].items():
        monkeypatch.setattr(cls, attribute, value, raising=False)
    same_bytes(lambda: [cls(), cls()], [2, 5])


# --- something is changed ------------------------------------------------------------------------


def classes() -> list[Any]:
    """Classes made for one test, under names of this module."""

    class Own(dict):
        pass

    class Rows(list):
        pass

    class Slotted:
        __slots__ = ("a",)

    class Error(Exception):
        pass

    class Moment(datetime.datetime):
        pass

    class Pair(typing.NamedTuple):
        a: Any

    found = [Own, Rows, Slotted, Error, Moment, Pair]
    for cls in found:
        cls.__module__, cls.__qualname__ = __name__, "Changed" + cls.__name__
        globals()["Changed" + cls.__name__] = cls
    return found


def instances(found: list[Any]) -> list[Any]:
    own, rows, slotted, error, moment, pair = found
    slots = slotted()
    slots.a = 1
    return [own(a=1), rows([1]), slots, error(1), moment(2026, 1, 1), pair(1)]


REPLACED: dict[str, Any] = {
    "__reduce__": lambda self: (list, ([1],)),
    "__reduce_ex__": lambda self, protocol: (list, ([2],)),
    "__getstate__": lambda self: {"state": 1},
    "__getnewargs__": lambda self: (5,),
    "__getnewargs_ex__": lambda self: ((5,), {}),
    "__iter__": lambda self: iter(()),
    "items": lambda self: [],
    "a": 5,
    "__slotnames__": ["b"],
}


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("name", REPLACED)
def test_class_changed_after_use(name: str, protocol: int) -> None:
    for i in range(6):
        found = classes()
        objects = instances(found)[i]
        same_bytes(lambda: [objects, objects], [protocol], fresh=False)
        setattr(found[i], name, REPLACED[name])
        same_bytes(lambda: [objects, objects], [protocol], fresh=False)
        delattr(found[i], name)
        same_bytes(lambda: [objects, objects], [protocol], fresh=False)


def test_slotnames_changed_in_place() -> None:
    found = classes()
    slots = instances(found)[2]
    same_bytes(lambda: [slots], [5], fresh=False)
    found[2].__slotnames__.append("__doc__")
    same_bytes(lambda: [slots], [5], fresh=False)


@pytest.mark.parametrize(
    "name", ["__reduce_ex__", "__reduce__", "__getstate__", "items", "__class__"]
)
def test_instance_changed(name: str) -> None:
    makers = ("dict", "list", "own ordered", "own deque", "own counter", "own default")
    for maker in (
        *makers,
        "own datetime",
        "own date",
        "own timedelta",
        "exception",
        "own fraction",
        "named without attributes",
    ):

        def make(maker: str = maker) -> Any:
            obj = MAKERS[maker]()
            value = {"items": lambda: iter([(1, 2)]), "__class__": int}.get(name)
            obj.__dict__[name] = value or (lambda *args: (list, ([3],)))
            return [MAKERS[maker](), obj, MAKERS[maker]()]

        same_bytes(make, [2, 5])


@pytest.mark.parametrize("protocol", [2, 5])
def test_named_tuple_gets_attributes_in_the_middle(protocol: int) -> None:
    """Its state is asked for before its items are written, not behind them."""

    def make() -> Any:
        first, second = NamedWithDict(1, item := SetsAttribute(), 3), ManyWithDict(1, item, 2, 3, 4)
        item.targets = [first, second]
        return [first, second, first]

    same_bytes(make, [protocol], shared=False)


class SetsAttribute:
    """Gives others an attribute when it is pickled."""

    targets: list[Any]

    def __reduce__(self) -> Any:
        for target in self.targets:
            target.attribute = "set"
        return Reduces, ("done",)


@pytest.mark.parametrize("protocol", [2, 5])
def test_registered_later(protocol: int) -> None:
    registered = [
        OwnDict, OwnList, Slots, Triple, collections.OrderedDict, collections.defaultdict,
        collections.deque, collections.Counter, datetime.datetime, datetime.date, D, Failure,
        uuid.UUID, fractions.Fraction, datetime.timedelta,
    ]  # fmt: skip
    objects = [make() for make in MAKERS.values() if type(make()) in registered]
    table = dict(copyreg.dispatch_table)
    try:
        for cls in registered:
            same_bytes(lambda: objects, [protocol], fresh=False)
            copyreg.pickle(cls, lambda obj: (Reduces, (type(obj).__name__,)))
        same_bytes(lambda: objects, [protocol], fresh=False)
    finally:
        copyreg.dispatch_table.clear()
        copyreg.dispatch_table.update(table)


class Registers:
    """Registers a reducer when it is pickled."""

    def __reduce__(self):
        copyreg.pickle(OwnDict, lambda obj: (Reduces, ("registered",)))
        copyreg.pickle(datetime.date, lambda obj: (Reduces, ("registered",)))
        return Reduces, ()


@pytest.mark.parametrize("protocol", [2, 5])
def test_registered_in_the_middle(protocol: int) -> None:
    obj = [OwnDict(), datetime.date(2026, 1, 1), Registers(), OwnDict(), datetime.date(2026, 1, 2)]
    table = dict(copyreg.dispatch_table)
    results = []
    for mod in (ox, c):
        try:
            results.append(mod.dumps(obj, protocol))
        finally:
            copyreg.dispatch_table.clear()
            copyreg.dispatch_table.update(table)
    agree(*results)


class Mutates:
    """Changes a container that is being pickled."""

    def __init__(self, change: Callable[[], Any]) -> None:
        self.change = change

    def __reduce__(self):
        self.change()
        return Reduces, ()


CHANGES: dict[str, Callable[[Any], Any]] = {
    "grows": lambda obj: obj.update(new=1) if hasattr(obj, "update") else obj.append("new"),
    "is emptied": lambda obj: obj.clear(),
    "gets state": lambda obj: obj.__dict__.update(late=1),
    "gets another dict": lambda obj: setattr(obj, "__dict__", {"other": 1}),
    "changes its class": lambda obj: setattr(obj, "__class__", type(obj).__mro__[1]),
}


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("cls", [OwnDict, OwnList, OwnOrdered, OwnDefault, OwnDeque, OwnCounter])
def test_changed_in_the_middle(cls: Any, change: str, where: int, protocol: int) -> None:
    outcomes = []
    for mod in (ox, c):
        obj = cls()
        bomb = Mutates(lambda obj=obj: CHANGES[change](obj))
        for i in range(3):
            item = bomb if i == where else text(i)
            if hasattr(obj, "update"):
                obj[i] = item
            else:
                obj.append(item)
        obj.__dict__.update(x=1)
        outcomes.append(attempt(WAYS["dumps"], mod, [cls(), obj], protocol))
    agree(*outcomes)


@pytest.mark.parametrize("protocol", [2, 5])
def test_slots_changed_in_the_middle(protocol: int) -> None:
    outcomes = []
    for mod in (ox, c):
        obj = Slots(b=text())
        obj.a = Mutates(lambda obj=obj: delattr(obj, "b"))
        outcomes.append(attempt(WAYS["dumps"], mod, [Slots(), obj, obj], protocol))
    agree(*outcomes)


def everything() -> list[Any]:
    return [make() for make in MAKERS.values()] + [around(text()) for around in AROUND.values()]


def picklable() -> list[Any]:
    found = []
    for obj in everything():
        try:
            c.dumps(obj, 5)
        except Exception:
            continue
        found.append(obj)
    return found


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_hooks_see_the_same(protocol: int) -> None:
    def log(mod: Any, kind: str) -> Any:
        seen: list[Any] = []

        class Persistent(mod.Pickler):
            def persistent_id(self, obj: Any) -> None:
                seen.append(type(obj).__name__)

        class Override(mod.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                seen.append(type(obj).__name__)
                return NotImplemented

        class Table(mod.Pickler):
            dispatch_table = collections.ChainMap({OwnDict: lambda obj: (Reduces, (1,))})

        class Fast(mod.Pickler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                self.fast = True

        out = io.BytesIO()
        {"p": Persistent, "o": Override, "t": Table, "f": Fast}[kind](out, protocol).dump(objects)
        return out.getvalue(), seen

    objects = picklable()
    for kind in "potf":
        agree(log(ox, kind), log(c, kind), kind)


def test_memo_goes_on() -> None:
    """Indexes of objects that exist in C only are counted in a memo that is copied, too."""
    streams = []
    for mod in (ox, c):
        out = io.BytesIO()
        first = mod.Pickler(out, 5)
        objects = picklable()
        first.dump(objects)
        second = mod.Pickler(out, 5)
        second.memo = first.memo.copy()
        third = mod.Pickler(out, 5)
        third.memo = first.memo
        for pickler in (first, second, third):
            pickler.dump([objects[0], [text()], OwnDict(a=1)])
        streams.append(out.getvalue())
    agree(*streams)


def test_references_are_given_back() -> None:
    obj = [around(Reduces(text())) for around in AROUND.values()] + picklable()
    counts = [sys.getrefcount(item) for item in obj]
    for protocol in (2, 5):
        for _ in range(3):
            for way in ("dumps", "write calls", "Pickler subclass"):
                attempt(WAYS[way], ox, obj, protocol)
    assert [sys.getrefcount(item) for item in obj] == counts


def test_loads_again() -> None:
    for obj in picklable():
        stream = c.dumps(obj, 5)
        assert ox.dumps(obj, 5) == stream
        theirs = attempt(c.loads, stream)
        ours = attempt(ox.loads, stream)
        assert type(ours) is type(theirs)
