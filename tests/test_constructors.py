"""Objects that are made without calling their class: what C gets by the call, whatever was changed.

Streams are loaded with the interpreter's own `_pickle` and with ours, and the objects, the memo and the errors are
compared: for arguments that the shortcut takes and for those that it leaves to the class, with the tuple of
arguments met again, and with a class, a function or a module changed before or in the middle of a load.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import gc
import io
import math
import os
import pathlib
import re
import sys
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from test_recipes import MAKERS

from support import PROTOCOLS, attempt, c, ox

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Triple = collections.namedtuple("Triple", "a b c")
One = collections.namedtuple("One", "a")
Empty = collections.namedtuple("Empty", "")
Default = collections.namedtuple("Default", "a b", defaults=[2])


class Typed(typing.NamedTuple):
    x: int
    y: str = "y"


class Under(Triple):
    __slots__ = ()


class UnderNew(Triple):
    __slots__ = ()

    def __new__(cls, *args: Any) -> Any:
        return super().__new__(cls, *reversed(args))


class UnderInit(Triple):
    def __init__(self, *args: Any) -> None:
        self.seen = args


class Meta(type):
    def __call__(cls, *args: Any) -> Any:
        return ("called", args)


class OfMeta(collections.Counter, metaclass=Meta):
    pass


class Odd(str):
    """No exact str."""


PATH = type(pathlib.PurePosixPath())
PATH_MODULE = sys.modules[PATH.__module__]


class Call:
    """REDUCE of a callable with these arguments."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.value = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.value


class New:
    """NEWOBJ of a class with these arguments."""

    def __init__(self, cls: type, *args: Any) -> None:
        self.value = cls, args

    @property
    def __class__(self) -> Any:
        return self.value[0]

    def __reduce__(self) -> tuple[Any, ...]:
        cls, args = self.value
        return new_object, (cls, *args)


def new_object(cls: type, *args: Any) -> Any:
    return cls.__new__(cls, *args)


new_object.__name__ = "__newobj__"


ADDRESS = re.compile("0x[0-9a-f]+")


def facts(obj: Any, depth: int = 4) -> Any:
    """What can be compared of an object of any of these classes."""
    if isinstance(obj, list) and depth > 0:
        return [facts(item, depth - 1) for item in obj]
    kept = ()
    if isinstance(obj, pathlib.PurePath):
        names = ("_raw_paths", "_drv", "_root", "_parts")
        kept = tuple((name, getattr(obj, name)) for name in names if name in vars_of(obj))
    if isinstance(obj, collections.deque):
        kept = (obj.maxlen, repr(list(obj)))
    if isinstance(obj, collections.defaultdict):
        kept = (obj.default_factory,)
    return (
        type(obj),
        ADDRESS.sub("", str(attempt(repr, obj))),
        kept,
        getattr(obj, "__dict__", None),
        # A collection in between takes tuples and dicts of atoms out.
        type(obj) in (tuple, dict) or gc.is_tracked(obj),
        attempt(hash, obj) if type(obj).__hash__ and not kept else None,
        # Lists have exactly the room that they need.
        None if isinstance(obj, list) else sys.getsizeof(obj),
    )


def vars_of(obj: Any) -> set[str]:
    """The slots that are set."""
    names = {name for cls in type(obj).__mro__ for name in getattr(cls, "__slots__", ())}
    return {name for name in names if hasattr(obj, name)}


def agree(data: bytes) -> Any:
    """Both give the same, twice; what they give."""
    for _ in range(3):
        theirs, ours = attempt(c.loads, data), attempt(ox.loads, data)
        assert facts(ours) == facts(theirs), data
    return ours


#: C cannot write these.
UNWRITABLE = {"dict with items in it", "node with the name of a method"}
LOADABLE = {name: make for name, make in MAKERS.items() if name not in UNWRITABLE}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("make", LOADABLE.values(), ids=list(LOADABLE))
def test_objects_are_those_that_their_classes_make(make: Any, protocol: int) -> None:
    obj = make()
    data = attempt(c.dumps, [obj, obj, make(), [make() for _ in range(40)]], protocol)
    if not isinstance(data, bytes):
        # An older protocol cannot say it.
        data = c.dumps([obj, obj, obj, [make(), obj]], 4)
    for _ in range(2):
        theirs, ours = attempt(c.loads, data), attempt(ox.loads, data)
        for way in (3, 5):
            assert attempt(c.dumps, ours, way) == attempt(c.dumps, theirs, way)
    if isinstance(theirs, list):
        assert [type(item) for item in ours[3]] == [type(item) for item in theirs[3]]


ARGUMENTS: dict[str, Any] = {
    "date": [
        Call(datetime.date, bytes(b))
        for b in (
            b"\x07\xea\x05\x01",
            b"\x07\xea\x0d\x01",
            b"\x07\xea\x00\x01",
            b"\x07\xea\x85\x01",
            b"\x07\xea\x02\x1e",
            b"\x07\xe8\x02\x1d",
            b"\x07\xe9\x02\x1d",
            b"\x07\x6c\x02\x1d",
            b"\x07\xd0\x02\x1d",
            b"\x00\x00\x01\x01",
            b"\x27\x0f\x0c\x1f",
            b"\x27\x10\x01\x01",
            b"\xff\xff\x0c\x1f",
            b"\x07\xea\x05\x00",
            b"abc",
            b"abcde",
            b"",
        )
    ]
    + [
        Call(datetime.date, 2026, 5, 1),
        Call(datetime.date, "\x07\xea\x05\x01"),
        Call(datetime.date),
    ],
    "datetime": [
        Call(datetime.datetime, b)
        for b in (
            b"\x07\xea\x05\x01\x0c\x1e\x0f\x0f\x42\x3f",
            b"\x07\xea\x85\x01\x0c\x1e\x0f\x0f\x42\x3f",
            b"\x07\xea\x05\x01\x18\x1e\x0f\x0f\x42\x3f",
            b"\x07\xea\x05\x01\x0c\x3c\x0f\x0f\x42\x3f",
            b"\x07\xea\x05\x01\x0c\x1e\x3c\x0f\x42\x3f",
            b"\x07\xea\x05\x01\x0c\x1e\x0f\x0f\x42\x40",
            b"\x07\xea\x0d\x01\x0c\x1e\x0f\x0f\x42\x3f",
            b"\x07\xea\x02\x1f\x00\x00\x00\x00\x00\x00",
            b"\x07\xea\x8d\x01\x0c\x1e\x0f\x0f\x42\x3f",
            b"123456789",
            b"\x00" * 10,
        )
    ]
    + [
        Call(datetime.datetime, b"\x07\xea\x05\x01" + bytes(6), zone)
        for zone in (
            None,
            datetime.UTC,
            1,
            datetime.timezone(datetime.timedelta(hours=1)),
            datetime.tzinfo(),
        )
    ]
    + [Call(datetime.datetime, b"\x07\xea\x05\x01" + bytes(6), None, None)],
    "time": [
        Call(datetime.time, b)
        for b in (
            b"\x0c\x1e\x0f\x0f\x42\x3f",
            b"\x8c\x1e\x0f\x0f\x42\x3f",
            b"\x18\x00\x00\x00\x00\x00",
            b"\x0c\x3c\x0f\x0f\x42\x3f",
            b"\x0c\x1e\x0f\x0f\x42\x40",
            b"12345",
            b"1234567",
        )
    ]
    + [Call(datetime.time, bytes(6), zone) for zone in (None, datetime.UTC, "zone")],
    "timedelta": [
        Call(datetime.timedelta, *args)
        for args in (
            (1, 2, 3),
            (-999999999, 0, 0),
            (999999999, 86399, 999999),
            (1000000000, 0, 0),
            (-1000000000, 0, 0),
            (0, 86400, 0),
            (0, -1, 0),
            (0, 0, 1000000),
            (0, 0, -1),
            (1.5, 0, 0),
            (True, 0, 0),
            (2**70, 0, 0),
            (1, 2),
            (),
            (1, 2, 3, 4),
            ("1", 2, 3),
            (0, 2**33, 0),
        )
    ],
    "decimal": [Call(decimal.Decimal, *args) for args in (("1.5",), ("x",), (), (1,), ("1", None))],
    "fraction": [
        Call(fractions.Fraction, *args)
        for args in (
            (1, 2),
            (2, 4),
            (0, 1),
            (0, 5),
            (-1, 2),
            (1, -2),
            (1, 0),
            (0, 0),
            (2**59, 3),
            (2**60, 3),
            (2**64, 3),
            (3, 2**64),
            (-(2**59), 3**30),
            (True, 2),
            (1, True),
            (1.5, 1),
            ("1/2",),
            (1,),
            (),
            (1, 2, 3),
            (1, None),
        )
    ],
    "counter": [
        Call(collections.Counter, *args)
        for args in (
            ({"a": 1},),
            ({},),
            ({(1,): [2], None: 1.5},),
            (),
            (None,),
            ("aab",),
            ([("a", 1)],),
            ({"a": 1}, {"b": 1}),
            (5,),
            (collections.OrderedDict(a=1),),
            (collections.Counter(a=2),),
            ({i: i for i in range(100)},),
        )
    ],
    "ordered": [
        Call(collections.OrderedDict, *args) for args in ((), ({"a": 1},), ([("a", 1)],), (5,))
    ],
    "default": [
        Call(collections.defaultdict, *args)
        for args in (
            (),
            (int,),
            (None,),
            (5,),
            (int, {"a": 1}),
            (len,),
            (collections.OrderedDict,),
        )
    ],
    "deque": [
        Call(collections.deque, *args)
        for args in (
            (),
            ((),),
            ((), None),
            ((), 0),
            ((), 3),
            ((), -1),
            ((), 2**40),
            ((), 2**70),
            ((1, 2, 3), 2),
            ([], 5),
            ((), "a"),
            ((), True),
            ((), 1, 2),
            ("abc",),
        )
    ],
    "path": [
        Call(PATH, *args)
        for args in (
            (),
            ("",),
            (".",),
            ("a",),
            ("/",),
            ("/", "a", "b"),
            ("a", "/"),
            ("a", "/b"),
            ("//", "a"),
            ("///",),
            ("a//b",),
            ("a/b",),
            ("a", ".", "b"),
            ("..", "a"),
            ("a", ""),
            ("", "a"),
            ("a/", "b"),
            (Odd("a"),),
            (b"a",),
            (5,),
            (pathlib.PurePosixPath("x"), "y"),
            ("/", "/", "a"),
            ("é", "数据", "🥒"),
            ("a.b", ".c"),
            ("/a",),
            ("/.",),
            (None,),
        )
    ],
    "posix path": [
        Call(type(pathlib.Path()), *args) for args in ((), ("a", "b"), ("/", "a"), (1,))
    ],
    "windows path": [Call(pathlib.PureWindowsPath, "c:/a", "b")],
    "named": [
        New(cls, *args)
        for cls in (Triple, Under, UnderNew, UnderInit)
        for args in (
            (1, "b", [3]),
            (1, 2),
            (1, 2, 3, 4),
            (),
        )
    ],
    "named called": [Call(cls, 1, "b", [3]) for cls in (Triple, Under, UnderNew, UnderInit)],
    "named others": [
        New(One, 1),
        New(Empty),
        New(One),
        New(Default, 1),
        New(Default, 1, 3),
        New(Typed, 1, "z"),
        New(Typed, 1),
    ],
    "metaclass": [Call(OfMeta, {"a": 1}), New(OfMeta)],
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_any_arguments_give_what_the_class_gives(name: str, protocol: int) -> None:
    for call in ARGUMENTS[name]:
        for shape in (call, [call], [call, call], [[call], (call,)]):
            agree(c.dumps(shape, protocol))


def stream(cls: type, args: bytes, op: bytes, rest: bytes) -> bytes:
    """A list of one call and what follows it. Memo: 0 the class, 1 what MEMOIZE numbers first."""
    name = f"c{cls.__module__}\n{cls.__qualname__}\n".encode()
    return b"\x80\x04]" + name + b"q\x00" + args + op + rest + b"."


TUPLES = {
    "named": (Triple, b"K\x01K\x02]\x87", b"\x81"),
    "date": (datetime.date, b"C\x04\x07\xea\x05\x01\x85", b"R"),
    "date memoised": (datetime.date, b"C\x04\x07\xea\x05\x01\x94\x85", b"R"),
    "timedelta": (datetime.timedelta, b"K\x01K\x02K\x03\x87", b"R"),
    "counter": (collections.Counter, b"}(X\x01\x00\x00\x00aK\x01u\x85", b"R"),
    "path": (PATH, b"(\x8c\x01a\x8c\x01b\x8c\x01c\x8c\x01dt", b"R"),
    "fraction": (fractions.Fraction, b"K\x01K\x02\x86", b"R"),
    "deque": (collections.deque, b")K\x05\x86", b"R"),
    "ordered": (collections.OrderedDict, b")", b"R"),
    "default": (collections.defaultdict, b"cbuiltins\nint\n\x85", b"R"),
}


@pytest.mark.parametrize("name", TUPLES)
@pytest.mark.parametrize(
    "rest",
    [
        b"\x94ah\x01a",
        b"\x94ah\x01ah\x01ah\x02a",
        b"ah\x01a",
        b"ah\x01ah\x02a",
        b"a\x94h\x01a",
        b"q\x01ah\x01a",
        b"r\x01\x00\x00\x00ah\x01a",
        b"\x94a]q\x01ah\x01a",
        b"\x94a]\x94]\x94]\x94h\x01h\x02h\x03(lb",
        b"h\x01\x86a",
        b"\x94h\x01\x94h\x02h\x03\x87a",
        b"0h\x01a",
        b"0h\x01h\x01\x86a",
        b"\x940h\x02ah\x01a",
        b"ah\x09",
    ],
)
def test_the_tuple_of_arguments_is_met_again(name: str, rest: bytes) -> None:
    cls, args, op = TUPLES[name]
    for put in (b"\x94", b"q\x01", b"q\x07", b""):
        data = stream(cls, args + put, op, rest)
        ours = agree(data)
        if isinstance(ours, list):
            theirs = c.loads(data)
            same = [[a is b for b in ours] for a in ours]
            assert same == [[a is b for b in theirs] for a in theirs]


@pytest.mark.parametrize("name", TUPLES)
def test_an_unpickler_shows_the_tuple_in_its_memo(name: str) -> None:
    cls, args, op = TUPLES[name]
    data = stream(cls, args + b"\x94", op, b"\x94a]\x94a")
    seen = []
    for module in (c, ox):
        unpickler = module.Unpickler(io.BytesIO(data))
        result = unpickler.load()
        memo = unpickler.memo.copy()
        seen.append((facts(result), [(key, facts(value)) for key, (value) in sorted(memo.items())]))
        assert memo[max(memo) - 1] in (result[0], memo[max(memo) - 1])
    assert seen[0] == seen[1]


def test_an_unpickler_goes_on_with_the_tuple_of_the_load_before() -> None:
    first = stream(datetime.date, b"C\x04\x07\xea\x05\x01\x85\x94", b"R", b"\x94a")
    second = b"\x80\x04h\x01h\x02\x86."
    for module in (c, ox):
        unpickler = module.Unpickler(io.BytesIO(first + second))
        [day] = unpickler.load()
        args, again = unpickler.load()
        assert args == (b"\x07\xea\x05\x01",)
        assert again is day


class Finder:
    """Code in the middle of a load that looks at the memo of its Unpickler."""

    def __init__(self, module: Any, data: bytes) -> None:
        seen: list[Any] = []

        class Unpickler(module.Unpickler):
            def find_class(self, name: str, attribute: str) -> Any:
                memo = self.memo.copy()
                seen.append([(key, facts(value)) for key, value in sorted(memo.items())])
                return super().find_class(name, attribute)

        self.result = facts(Unpickler(io.BytesIO(data)).load())
        self.seen = seen


def test_find_class_sees_the_tuple_in_the_memo() -> None:
    middle = b"\x94acbuiltins\nint\n\x94ah\x01a"
    data = stream(datetime.date, b"C\x04\x07\xea\x05\x01\x85\x94", b"R", middle)
    ours, theirs = Finder(ox, data), Finder(c, data)
    assert (ours.result, ours.seen) == (theirs.result, theirs.seen)


# --- what was changed ---------------------------------------------------------------------------


def other_code(first: Any, *args: Any) -> Any:
    return ("other code", *args)


def wrong(*args: Any, **kwargs: Any) -> Any:
    raise LookupError("patched", len(args))


def patched_module(name: str, **changes: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(vars(sys.modules[name]))
    vars(module).update(changes)
    return module


class Replaced:
    """Code to put into functions."""

    def method(self, *args: Any, **kwargs: Any) -> Any:
        """Has the cell that `super()` needs."""
        return ("replaced", __class__, args)  # type: ignore[name-defined]

    @staticmethod
    def function(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return ("replaced", args)


PATCHES: dict[str, tuple[Any, Callable[[Any], None]]] = {
    "Counter.update": (
        collections.Counter({"a": 1}),
        lambda m: m.setattr(collections.Counter, "update", wrong),
    ),
    "Counter.__init__": (
        collections.Counter({"a": 1}),
        lambda m: m.setattr(collections.Counter, "__init__", lambda self, *args: None),
    ),
    "Counter.__len__": (
        collections.Counter({"a": 1}),
        lambda m: m.setattr(collections.Counter, "__len__", lambda self: 5, raising=False),
    ),
    "Counter.__new__": (
        collections.Counter({"a": 1}),
        lambda m: m.setattr(collections.Counter, "__new__", lambda *args: "new", raising=False),
    ),
    "Counter.update code": (
        collections.Counter({"a": 1}),
        lambda m: m.setattr(collections.Counter.update, "__code__", Replaced.method.__code__),
    ),
    "collections.isinstance": (
        collections.Counter({"a": 1}),
        lambda m: m.setattr(collections, "isinstance", wrong, raising=False),
    ),
    "collections._collections_abc": (
        collections.Counter({"a": 1}),
        lambda m: m.setattr(
            collections, "_collections_abc", patched_module("_collections_abc", Mapping=str)
        ),
    ),
    "_collections_abc.Mapping": (
        collections.Counter({"a": 1}),
        lambda m: m.setattr(sys.modules["_collections_abc"], "Mapping", str),
    ),
    "Fraction.__new__": (
        fractions.Fraction(1, 3),
        lambda m: m.setattr(fractions.Fraction, "__new__", lambda *args: ("new", args[1:])),
    ),
    "Fraction.__new__ code": (
        fractions.Fraction(1, 3),
        lambda m: m.setattr(fractions.Fraction.__new__, "__code__", Replaced.method.__code__),
    ),
    "Fraction.__init__": (
        fractions.Fraction(1, 3),
        lambda m: m.setattr(fractions.Fraction, "__init__", wrong, raising=False),
    ),
    "fractions.math": (
        fractions.Fraction(1, 3),
        lambda m: m.setattr(fractions, "math", patched_module("math", gcd=lambda a, b: 7)),
    ),
    "math.gcd": (fractions.Fraction(1, 3), lambda m: m.setattr(math, "gcd", lambda a, b: 7)),
    "fractions.int": (
        fractions.Fraction(1, 3),
        lambda m: m.setattr(fractions, "int", float, raising=False),
    ),
    "Rational.__new__": (
        fractions.Fraction(1, 3),
        lambda m: m.setattr(fractions.Fraction.__base__, "__new__", wrong, raising=False),
    ),
    "UUID.__setstate__": (
        uuid.UUID(int=5),
        lambda m: m.setattr(uuid.UUID, "__setstate__", wrong),
    ),
    "UUID.__setstate__ code": (
        uuid.UUID(int=5),
        lambda m: m.setattr(uuid.UUID.__setstate__, "__code__", Replaced.function.__code__),
    ),
    "uuid.SafeUUID": (
        uuid.UUID(int=5),
        lambda m: m.setattr(uuid, "SafeUUID", types.SimpleNamespace(unknown="unknown")),
    ),
    "uuid.object": (
        uuid.UUID(int=5),
        lambda m: m.setattr(uuid, "object", types.SimpleNamespace(), raising=False),
    ),
    "Path.__new__": (
        pathlib.PurePosixPath("/a", "b"),
        lambda m: m.setattr(pathlib.PurePath, "__new__", lambda *args: ("new", args[1:])),
    ),
    "Path.__init__": (
        pathlib.PurePosixPath("/a", "b"),
        lambda m: m.setattr(pathlib.PurePath, "__init__", wrong, raising=False),
    ),
    "Path._from_parts": (
        pathlib.PurePosixPath("/a", "b"),
        lambda m: m.setattr(pathlib.PurePath, "_from_parts", wrong, raising=False),
    ),
    "Path._parse_args": (
        pathlib.PurePosixPath("/a", "b"),
        lambda m: m.setattr(pathlib.PurePath, "_parse_args", wrong, raising=False),
    ),
    "Path of its own": (
        pathlib.Path("/a", "b"),
        lambda m: m.setattr(pathlib.PurePath, "__init__", wrong, raising=False),
    ),
    "os.fspath": (
        pathlib.PurePosixPath("/a", "b"),
        lambda m: m.setattr(os, "fspath", lambda path: "other"),
    ),
    "pathlib.os": (
        pathlib.PurePosixPath("/a", "b"),
        lambda m: m.setattr(PATH_MODULE, "os", patched_module("os", fspath=lambda path: "other")),
    ),
    "pathlib.str": (
        pathlib.PurePosixPath("/a", "b"),
        lambda m: m.setattr(PATH_MODULE, "str", bytes, raising=False),
    ),
    "pathlib.PurePath": (
        pathlib.PurePosixPath("/a", "b"),
        lambda m: m.setattr(PATH_MODULE, "PurePath", str),
    ),
    "Triple.__new__": (
        Triple(1, 2, [3]),
        lambda m: m.setattr(Triple, "__new__", lambda *args: ("new", args[1:])),
    ),
    "Triple.__new__ code": (
        Triple(1, 2, [3]),
        lambda m: m.setattr(Triple.__new__, "__code__", other_code.__code__),
    ),
    "Triple._tuple_new": (
        Triple(1, 2, [3]),
        lambda m: m.setitem(Triple.__new__.__globals__, "_tuple_new", lambda *args: args[1:]),
    ),
    "under another base": (
        Under(1, 2, [3]),
        lambda m: m.setattr(Triple, "__new__", lambda *args: ("new", args[1:])),
    ),
}


@pytest.mark.parametrize("name", PATCHES)
@pytest.mark.parametrize("before", [0, 2], ids=["from the start", "after two loads"])
def test_what_is_patched_is_called(name: str, before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    obj, patch = PATCHES[name]
    data = c.dumps([obj, obj], 4), c.dumps([obj for obj in (obj,)] + [Call(list)], 5)
    for _ in range(before):
        for stream in data:
            assert facts(ox.loads(stream)) == facts(c.loads(stream))
    with monkeypatch.context() as context:
        patch(context)
        results = [(attempt(c.loads, s), attempt(ox.loads, s)) for s in (*data, *data)]
    for theirs, ours in results:
        assert facts(ours) == facts(theirs)
    for stream in data:
        assert facts(ox.loads(stream)) == facts(c.loads(stream))


CONTEXT: list[Any] = []


def patch_now() -> str:
    patch, context = CONTEXT[-1]
    patch(context)
    return "patched"


@pytest.mark.parametrize("name", PATCHES)
def test_what_is_patched_in_the_middle_of_a_load_is_called_from_then_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    obj, patch = PATCHES[name]
    # The same indices of the memo again are stored over.
    again = c.dumps(obj, 2)[2:-1]
    data = b"\x80\x02](" + again + c.dumps(Call(patch_now), 2)[2:-1] + again + again + b"e."
    results = []
    for module in (c, ox, c, ox):
        with monkeypatch.context() as context:
            CONTEXT.append((patch, context))
            try:
                results.append(attempt(module.loads, data))
            finally:
                CONTEXT.pop()
    described = [facts(result) for result in results]
    assert described[1] == described[0]
    assert described[3] == described[2]


# --- memory -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TUPLES)
def test_nothing_is_left_behind(name: str) -> None:
    cls, args, op = TUPLES[name]
    datas = [
        stream(cls, args + put, op, rest)
        for put in (b"\x94", b"")
        for rest in (b"\x94a", b"\x94ah\x01a", b"ah\x00h\x0f")
    ]

    def run(count: int) -> int:
        for _ in range(count):
            for data in datas:
                attempt(ox.loads, data)
                attempt(lambda data=data: ox.Unpickler(io.BytesIO(data)).load())
        gc.collect()
        return sys.getallocatedblocks()

    run(20)
    counted = [sys.getrefcount(obj) for obj in (cls, None, b"", ())]
    first = run(50)
    later = run(200)
    # One block for each load would be more.
    assert later - first < 200
    assert abs(sys.getrefcount(cls) - counted[0]) < 5


def test_a_class_that_was_loaded_can_die() -> None:
    import weakref

    made = collections.namedtuple("Mortal", "a b")
    module = types.ModuleType("mortal_module")
    module.Mortal = made  # type: ignore[attr-defined]
    made.__module__ = "mortal_module"
    sys.modules["mortal_module"] = module
    try:
        assert facts(ox.loads(c.dumps(made(1, 2), 4))) == facts(made(1, 2))
    finally:
        del sys.modules["mortal_module"]
    watch = weakref.ref(made)
    del made, module
    gc.collect()
    assert watch() is None


def test_a_key_that_compares_is_in_a_counter() -> None:
    """Keys with one hash are compared while the counts are taken over."""
    data = c.dumps(Call(collections.Counter, {Key(1): 1, Key(2): 2, Key(3): 3}), 4)
    theirs, ours = c.loads(data), ox.loads(data)
    assert [key.value for key in ours] == [key.value for key in theirs]
    assert type(ours) is collections.Counter


class Key:
    def __init__(self, value: int) -> None:
        self.value = value

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and getattr(self, "value", 0) == getattr(other, "value", 0)

    def __reduce__(self) -> tuple[Any, ...]:
        return Key, (self.value,)


# --- lists of subclasses ----------------------------------------------------------------------


class Plainly(list[Any]):
    pass


class Extending(list[Any]):
    def extend(self, items: Any) -> None:
        super().extend([("extended", item) for item in items])


class Appending(list[Any]):
    def append(self, item: Any) -> None:
        super().append(("appended", item))


class Asking(list[Any]):
    def __getattribute__(self, name: str) -> Any:
        if name == "extend":
            return lambda items: super(Asking, self).extend(["asked", *items])
        return super().__getattribute__(name)


class Slotted(list[Any]):
    __slots__ = ("extend",)


def own_extend(items: Any) -> None:
    SEEN.append(list(items))


SEEN: list[Any] = []
STATES = {
    "nothing": b"",
    "an attribute": b"}X\x01\x00\x00\x00aK\x01sb",
    "its own extend": b"}X\x06\x00\x00\x00extendctest_constructors\nown_extend\nsb",
    "a slot": b"N}X\x06\x00\x00\x00extendctest_constructors\nown_extend\ns\x86b",
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("cls", [Plainly, Extending, Appending, Asking, Slotted])
@pytest.mark.parametrize("items", [b"(K\x01]K\x03e", b"K\x01a", b"(e", b"(K\x01e(K\x02]e"])
def test_items_go_where_extend_puts_them(cls: type, state: str, items: bytes) -> None:
    name = f"ctest_constructors\n{cls.__name__}\n".encode()
    data = b"\x80\x02" + name + b")\x81" + STATES[state] + items + b"."
    results = []
    for module in (c, ox, c, ox):
        del SEEN[:]
        obj = attempt(module.loads, data)
        results.append((type(obj), repr(obj), getattr(obj, "__dict__", None), SEEN[:]))
    assert results[1] == results[0]
    assert results[3] == results[2]


def test_an_extend_that_a_class_gets_later_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    data = c.dumps(Plainly([1, 2]), 4)
    assert ox.loads(data) == [1, 2]
    monkeypatch.setattr(Plainly, "extend", lambda self, items: self.append(items), raising=False)
    assert ox.loads(data) == c.loads(data) == [[1, 2]]


@pytest.mark.parametrize("count", [0, 1, 2, 62, 63, 64, 65, 200, 1001])
@pytest.mark.parametrize("maxlen", [None, 0, 1, 63, 64, 5000])
def test_a_deque_of_any_size(count: int, maxlen: int | None) -> None:
    data = c.dumps(collections.deque(range(count), maxlen), 4)
    short = c.dumps(collections.deque((), maxlen), 4)[:-1]
    items = b"(" + b"".join(b"K\x05" for _ in range(count)) + b"e."
    for stream in (data, short + items, short + items[:-1] + items):
        theirs, ours = c.loads(stream), ox.loads(stream)
        assert ours == theirs
        assert ours.maxlen == theirs.maxlen
        for made in (theirs, ours):
            made.appendleft("left")
            made.append("right")
            made.rotate(3)
        assert list(ours) == list(theirs)
        assert ours.copy() == theirs
        assert sys.getsizeof(ours) >= 0


def test_an_iterator_sees_that_a_deque_was_filled() -> None:
    """An iterator that was made in the middle of a load."""
    data = (
        b"\x80\x04]ccollections\ndeque\n)R\x94ctest_constructors\nkeep_iterator\nh\x00\x85R0"
        b"(K\x01K\x02ea."
    )
    for module in (c, ox):
        del SEEN[:]
        assert list(module.loads(data)[0]) == [1, 2]
        with pytest.raises((RuntimeError, StopIteration)):
            next(SEEN[0])


def keep_iterator(obj: Any) -> None:
    SEEN.append(iter(obj))
