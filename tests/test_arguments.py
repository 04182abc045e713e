"""Calls that are wrong, or strange, fail as those of C's `_pickle` do: same type, same text.

Which of several faults is reported is part of it, and so is that a call that C takes is taken. Only
arguments are compared here; what they do is tested elsewhere.
"""

from __future__ import annotations

import io
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import Raised, agree, attempt, c, ox


class Str(str):
    """A keyword that is not an exact str."""


class Refuses(str):
    """A keyword that cannot be compared."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise KeyError("compared")


class Equal(str):
    """A keyword that says it equals every other."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True


class EqualToProtocol(Equal):
    """... and is found where `protocol` is looked up in a dict."""

    def __hash__(self) -> int:
        return hash("protocol")


def source() -> io.BytesIO:
    return io.BytesIO(b"N.")


#: For each keyword a value that is right where the keyword is.
VALUES: dict[str, Callable[[], Any]] = {
    "obj": lambda: 1,
    "file": source,
    "data": lambda: b"N.",
    "protocol": lambda: 5,
    "fix_imports": lambda: True,
    "buffer_callback": lambda: None,
    "encoding": lambda: "ASCII",
    "errors": lambda: "strict",
    "buffers": lambda: (),
    "module_name": lambda: "builtins",
    "global_name": lambda: "int",
    "object": lambda: b"",
    "other": lambda: 0,
    "": lambda: 0,
    "nul\0": lambda: 0,
    "\udc80": lambda: 0,
}

#: For each callable the right positional arguments, and how to reach it in a module.
CALLABLES: dict[str, tuple[list[str], Callable[[Any], Callable[..., Any]]]] = {
    "dumps": (["obj"], lambda mod: mod.dumps),
    "dump": (["obj", "file"], lambda mod: mod.dump),
    "loads": (["data"], lambda mod: mod.loads),
    "load": (["file"], lambda mod: mod.load),
    "Pickler": (["file"], lambda mod: mod.Pickler),
    "Unpickler": (["file"], lambda mod: mod.Unpickler),
    "Pickler.__init__": (["file"], lambda mod: mod.Pickler(source()).__init__),
    "Unpickler.__init__": (["file"], lambda mod: mod.Unpickler(source()).__init__),
    "Pickler.dump": (["obj"], lambda mod: mod.Pickler(source()).dump),
    "Pickler.clear_memo": ([], lambda mod: mod.Pickler(source()).clear_memo),
    "Unpickler.load": ([], lambda mod: mod.Unpickler(source()).load),
    "Unpickler.find_class": (
        ["module_name", "global_name"],
        lambda mod: mod.Unpickler(source()).find_class,
    ),
    "PickleBuffer": (["object"], lambda mod: mod.PickleBuffer),
    "PickleBuffer.raw": ([], lambda mod: mod.PickleBuffer(b"").raw),
    "PickleBuffer.release": ([], lambda mod: mod.PickleBuffer(b"").release),
    "Pickler.memo.clear": ([], lambda mod: mod.Pickler(source()).memo.clear),
    "Unpickler.memo.copy": ([], lambda mod: mod.Unpickler(source()).memo.copy),
}
if sys.version_info >= (3, 13):
    CALLABLES["Pickler.persistent_id"] = (["obj"], lambda mod: mod.Pickler(source()).persistent_id)
    CALLABLES["Unpickler.persistent_load"] = (
        ["obj"],
        lambda mod: mod.Unpickler(source()).persistent_load,
    )


def outcome(function: Callable[..., Any], args: list[Any], kwargs: dict[Any, Any]) -> Raised | type:
    """The exception, or the type of the result: the two modules have classes of their own."""
    # Not through attempt()'s own parameters: it has keywords too.
    result = attempt(lambda: function(*args, **kwargs))
    return result if isinstance(result, Raised) else type(result).__name__


def compare(name: str, make_args: Callable[[], tuple[list[Any], dict[Any, Any]]]) -> bool:
    """Makes one call on both sides; says whether C took its arguments."""
    reach = CALLABLES[name][1]
    ours = outcome(reach(ox), *make_args())
    theirs = outcome(reach(c), *make_args())
    args, kwargs = make_args()
    agree(ours, theirs, f"{name} with {len(args)} positional arguments and {list(kwargs)}")
    return not (isinstance(theirs, Raised) and theirs.type is TypeError)


def positional(name: str, count: int) -> list[Any]:
    """*count* arguments: the right ones first, then None."""
    right = [VALUES[keyword]() for keyword in CALLABLES[name][0][:count]]
    return right + [None] * (count - len(right))


def calls(name: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Every number of positional arguments with every one or two keywords, and with many."""
    for count in range(8):
        for n in (0, 1, 2):
            for keywords in itertools.combinations(VALUES, n):
                yield count, keywords
        yield count, tuple(VALUES)
        yield count, tuple(VALUES)[:5]


@pytest.mark.parametrize("name", CALLABLES)
def test_any_number_of_arguments(name: str) -> None:
    taken = refused = 0
    for count, keywords in calls(name):

        def make(
            count: int = count, keywords: tuple[str, ...] = keywords
        ) -> tuple[list[Any], dict[Any, Any]]:
            return positional(name, count), {keyword: VALUES[keyword]() for keyword in keywords}

        if compare(name, make):
            taken += 1
        else:
            refused += 1
    assert taken and refused


@pytest.mark.parametrize("name", CALLABLES)
def test_strange_keywords(name: str) -> None:
    """Keywords that are new strings, of a subclass, not comparable, equal to all, or no strings."""

    def fresh(text: str) -> str:
        return "".join(list(text))

    kinds: list[Callable[[str], Any]] = [fresh, Str, Refuses, Equal, EqualToProtocol]
    for count in range(5):
        for keyword in VALUES:
            for kind in kinds:
                compare(
                    name,
                    lambda count=count, keyword=keyword, kind=kind: (
                        positional(name, count),
                        {kind(keyword): VALUES[keyword]()},
                    ),
                )
        compare(name, lambda count=count: (positional(name, count), {1: 2}))


@pytest.mark.parametrize("name", CALLABLES)
def test_mixtures(name: str) -> None:
    """Random calls, from a fixed seed."""
    kinds: list[Callable[[str], Any]] = [str, str, str, Str, Equal, EqualToProtocol]
    for seed in range(400):

        def make(seed: int = seed) -> tuple[list[Any], dict[Any, Any]]:
            numbers = random.Random(f"{name} {seed}")
            kwargs = {}
            for _ in range(numbers.randrange(7)):
                keyword = numbers.choice(list(VALUES))
                kwargs[numbers.choice(kinds)(keyword)] = VALUES[keyword]()
            return positional(name, numbers.randrange(7)), kwargs

        compare(name, make)


def test_arguments_reach_their_parameters() -> None:
    """Whatever way an argument is given, it means the same."""
    for mod in (ox, c):
        out = io.BytesIO()
        expected = mod.dumps([1], 2)
        assert mod.dumps(obj=[1], protocol=2) == expected
        assert mod.dumps(protocol=2, obj=[1]) == expected
        assert mod.dumps(**{Str("protocol"): 2, "".join(["ob", "j"]): [1]}) == expected
        mod.dump(protocol=2, file=out, obj=[1])
        mod.Pickler(protocol=2, file=out).dump([1])
        mod.Pickler(out, 2, True, None).dump([1])
        assert out.getvalue() == 3 * expected
        assert mod.loads(b"U\x01\xe9.", encoding="latin1") == "é"
        assert mod.loads(b"U\x01\xe9.", errors="replace") == "\ufffd"
        assert mod.loads(b"\x97.", buffers=[b"x"]) == b"x"
        assert mod.load(file=io.BytesIO(b"\x97."), buffers=[b"x"]) == b"x"
        assert mod.Unpickler(buffers=[b"x"], file=io.BytesIO(b"\x97.")).load() == b"x"


class Index:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __index__(self) -> Any:
        return self.value


class Truth:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __bool__(self) -> Any:
        return self.value


#: Methods by class, with arguments that are right.
METHODS: list[tuple[str, str, tuple[Any, ...]]] = [
    ("Pickler", "dump", (1,)),
    ("Pickler", "clear_memo", ()),
    ("Unpickler", "load", ()),
    ("Unpickler", "find_class", ("builtins", "int")),
]


@pytest.mark.parametrize("base,name,args", METHODS)
def test_methods_called_on_the_class(base: str, name: str, args: tuple[Any, ...]) -> None:
    """Of what they are called decides, then the arguments: as those of any class in C."""

    def calls(mod: Any) -> list[Any]:
        cls = getattr(mod, base)
        other = mod.Unpickler if base == "Pickler" else mod.Pickler

        class Derived(cls):  # type: ignore[misc]
            pass

        method = getattr(cls, name)
        got = [attempt(method), attempt(lambda: method(self=cls(source())))]
        for it in (3, None, cls, other(source()), cls(source()), Derived(source())):
            for wrong in ((), (1,), (1, 2), (1, 2, 3)):
                got.append(attempt(method, it, *args, *wrong))
            got.append(attempt(lambda it=it: method(it, *args, unknown=1)))
            got.append(attempt(lambda it=it: method(it, *args, **{})))
        derived = Derived(source())
        got.append(attempt(getattr(super(Derived, derived), name), *args))
        got.append(attempt(getattr(Derived, name), derived, *args))
        # (Without a class, C's own methods end the process from 3.13 on.)
        got.append(attempt(method.__get__(derived, Derived), *args))
        got.append(attempt(method.__get__, 3, int))
        return got

    ours, theirs = calls(ox), calls(c)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        agree(mine, other)
    assert any(isinstance(one, Raised) for one in ours)
    assert not all(isinstance(one, Raised) for one in ours)


@pytest.mark.parametrize("base,name", [method[:2] for method in METHODS])
def test_methods_are_those_of_a_class_in_c(base: str, name: str) -> None:
    ours, theirs = getattr(getattr(ox, base), name), getattr(getattr(c, base), name)
    assert type(ours) is type(theirs)
    assert ours.__objclass__ is getattr(ox, base)
    for attribute in ("__name__", "__qualname__", "__text_signature__"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert repr(ours) == repr(theirs)
    assert ours.__doc__ and not ours.__doc__.startswith(name)


class Fails:
    def __bool__(self) -> bool:
        raise KeyError("bool")

    def __index__(self) -> int:
        raise KeyError("index")


class Length:
    def __len__(self) -> int:
        return -1  # noqa: PLE0303 (what comes of it is the test)


PROTOCOL_VALUES = [
    *(None, 0, 5, 6, -1, -7, True, "x", 2.0, Ellipsis),
    *(2**31, -(2**31), 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**100, -(2**100)),
    *(Index(2), Index("x"), Fails()),
]


@pytest.mark.parametrize("value", PROTOCOL_VALUES, ids=lambda value: repr(value).split(" at 0x")[0])
def test_protocol(value: Any) -> None:
    for call in (
        lambda mod: mod.dumps(1, value),
        lambda mod: mod.dump(1, io.BytesIO(), value),
        lambda mod: type(mod.Pickler(io.BytesIO(), value)).__name__,
        # A wrong protocol is reported before a wrong file, and after a wrong fix_imports.
        lambda mod: mod.dump(1, 2, value),
        lambda mod: mod.dumps(1, value, fix_imports=Fails()),
        lambda mod: mod.dumps(1, value, buffer_callback=1),
    ):
        agree(attempt(call, ox), attempt(call, c))


FLAGS = [True, False, None, 0, "x", [], Truth(True), Truth(2), Fails(), Length()]


@pytest.mark.parametrize("value", FLAGS, ids=lambda value: type(value).__name__)
def test_fix_imports(value: Any) -> None:
    for call in (
        lambda mod: mod.dumps(len, 2, fix_imports=value),
        lambda mod: mod.loads(b"c__builtin__\nlen\n.", fix_imports=value),
        lambda mod: mod.load(io.BytesIO(b"c__builtin__\nlen\n."), fix_imports=value),
        lambda mod: type(mod.Pickler(io.BytesIO(), None, value)).__name__,
        lambda mod: type(mod.Unpickler(io.BytesIO(), fix_imports=value)).__name__,
        lambda mod: mod.loads(b"N.", fix_imports=value, encoding=1, errors=1, buffers=1),
    ):
        agree(attempt(call, ox), attempt(call, c))


TEXTS = [
    *("ascii", "", Str("latin1"), "nul\0", "\udc80", "no such"),
    *(None, 1, b"ascii", True, Ellipsis, io.BytesIO()),
    type("a_name_longer_than_fifty_bytes_" * 3, (), {})(),
    type("y\u20ac" * 30, (), {})(),
]


@pytest.mark.parametrize("value", TEXTS, ids=lambda value: type(value).__name__[:20])
def test_encoding_and_errors(value: Any) -> None:
    for call in (
        lambda mod, **kw: mod.loads(b"U\x01\xe9.", **kw),
        lambda mod, **kw: mod.load(io.BytesIO(b"U\x01\xe9."), **kw),
        lambda mod, **kw: type(mod.Unpickler(io.BytesIO(), **kw)).__name__,
        # They are looked at before the data and the buffers.
        lambda mod, **kw: mod.loads(1, buffers=1, **kw),
        lambda mod, **kw: mod.load(1, buffers=1, **kw),
    ):
        for kwargs in (
            {"encoding": value},
            {"errors": value},
            {"encoding": "bytes", "errors": value},
            {"encoding": value, "errors": 1},
        ):
            agree(attempt(call, ox, **kwargs), attempt(call, c, **kwargs), str(list(kwargs)))


def test_calls_leave_no_references_behind() -> None:
    value = object()
    file = io.BytesIO()

    def wrong() -> None:
        for mod in (ox,):
            attempt(mod.dumps, value, value)
            attempt(mod.dumps, value, obj=value)
            attempt(mod.dumps, value, other=value)
            attempt(mod.dumps, value, value, value, value, value)
            attempt(mod.Pickler, file, file=value)
            attempt(mod.Pickler, file, other=value)
            attempt(mod.Unpickler, file, encoding=value)
            attempt(mod.Unpickler, file, value)
            attempt(mod.Pickler(file).dump, value, value)
            attempt(mod.PickleBuffer, value)
            attempt(mod.PickleBuffer, value, value)

    wrong()
    before = sys.getrefcount(value), sys.getrefcount(file)
    for _ in range(50):
        wrong()
    assert (sys.getrefcount(value), sys.getrefcount(file)) == before
