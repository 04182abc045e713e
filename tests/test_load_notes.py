"""Where a load failed: the byte, the opcode and what it was inside of, as notes (CPython issue 130621).

C adds none, so the texts are stated here; type, message and arguments of the exception must stay those of
C. The same notes come from memory and from any kind of file, as far as the file shows what follows.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any

import pytest

from support import PROTOCOLS, Raised, c, notes_of, ox
from support import attempt as attempt_without_notes


def attempt(function: Callable[..., Any], *args: Any) -> Any:
    """As the helper of this name, but with all notes."""
    found: list[tuple[str, ...]] = []

    def noting() -> Any:
        try:
            return function(*args)
        except BaseException as error:
            found.append(notes_of(error))
            raise

    outcome = attempt_without_notes(noting)
    if isinstance(outcome, Raised):
        assert outcome.notes == () or found[0][: len(outcome.notes)] == outcome.notes
        return outcome._replace(notes=found[0])
    return outcome


class Refused(Exception):
    pass


def refuse(*args: Any) -> Any:
    raise Refused("refused", args)


class Fails:
    """Cannot be loaded: its REDUCE raises."""

    def __reduce__(self) -> Any:
        return refuse, (1,)


class FailsState:
    def __getstate__(self) -> Any:
        return [1]

    def __setstate__(self, state: Any) -> None:
        raise Refused("state")


class FailsNew:
    loading = False

    def __new__(cls, *args: Any) -> FailsNew:
        if cls.loading:
            raise Refused("new")
        return super().__new__(cls)

    def __getnewargs__(self) -> Any:
        return ("argument",)


class FailsHash:
    loading = False

    def __hash__(self) -> int:
        if self.loading:
            raise Refused("hash")
        return 1


class FailsExtend(list[Any]):
    def extend(self, items: Any) -> None:
        raise Refused("extend")

    append = extend


class FailsItem(dict[Any, Any]):
    def __setitem__(self, key: Any, value: Any) -> None:
        raise Refused("item")


class Node:
    def __init__(self, value: Any, next: Any = None) -> None:
        self.value = value
        self.next = next


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b


class Takes:
    def __init__(self, *args: Any) -> None:
        self.args = args

    def __reduce__(self) -> Any:
        return Takes, self.args


class TakesNew:
    def __new__(cls, *args: Any) -> TakesNew:
        self = super().__new__(cls)
        self.args = args
        return self

    args: tuple[Any, ...]

    def __getnewargs__(self) -> Any:
        return self.args


HERE = __name__
CALL = f"opcode REDUCE, calling {HERE}.refuse"

#: What is loaded -> the notes behind the first, whose byte is looked for in the stream; the protocols.
INSIDE: dict[str, tuple[Any, str, list[str], range]] = {
    "alone": (Fails(), CALL, [], PROTOCOLS),
    "list": ([1, Fails(), 2], CALL, ["list item 1"], PROTOCOLS),
    "list of one": ([Fails()], CALL, ["list item 0"], PROTOCOLS),
    "second batch": ([*range(1500), Fails(), 2], CALL, ["list item 1500"], PROTOCOLS),
    "tuple": ((1, 2, Fails(), 4), CALL, ["tuple item 2"], PROTOCOLS),
    "pair": ((1, Fails()), CALL, ["tuple item 1"], PROTOCOLS),
    "dict": ({"a": 1, "b": Fails()}, CALL, ["dict item 'b'"], PROTOCOLS),
    "dict of one": ({7: Fails()}, CALL, ["dict item 7"], PROTOCOLS),
    "dict, long key": ({"k" * 500: Fails(), 1: 2}, CALL, [f"dict item '{'k' * 99}…"], PROTOCOLS),
    "dict, other key": (
        {(1, 2): Fails(), 1: 2},
        CALL,
        ["dict item whose key is a tuple"],
        PROTOCOLS,
    ),
    "dict key": ({Fails(): 1, 2: 3}, CALL, ["dict key"], PROTOCOLS),
    "dict key of one": ({Fails(): 1}, CALL, ["dict key"], PROTOCOLS),
    "set": ({Fails()}, CALL, ["set element"], range(4, 6)),
    "frozenset": (frozenset([Fails()]), CALL, ["frozenset element"], range(4, 6)),
    "instance": (
        Node(1, Node(2, Fails())),
        CALL,
        [
            "dict item 'next'", f"{HERE}.Node state", "dict item 'next'", f"{HERE}.Node state",
        ],
        range(2, 6),
    ),
    "slots": (
        [Slotted(1, Fails())],
        CALL,
        ["dict item 'b'", "tuple item 1", f"{HERE}.Slotted state", "list item 0"],
        range(2, 6),
    ),
    "arguments": (
        Takes(1, Fails()),
        CALL,
        ["tuple item 1", f"arguments of {HERE}.Takes"],
        PROTOCOLS,
    ),
    "arguments of __new__": (
        TakesNew(1, Fails()),
        CALL,
        ["tuple item 1", f"arguments of {HERE}.TakesNew"],
        range(2, 6),
    ),
    "deep": (
        [[({"k": [Fails()], 1: 2}, 1, 2, 3)], 1],
        CALL,
        ["list item 0", "dict item 'k'", "tuple item 0", "list item 0", "list item 0"],
        PROTOCOLS,
    ),
    "state": (
        [1, FailsState()],
        "opcode BUILD",
        [f"when filling a {HERE}.FailsState object", "list item 1"],
        range(2, 6),
    ),
    "__new__": (
        {"k": FailsNew()},
        f"opcode NEWOBJ, calling {HERE}.FailsNew",
        ["dict item 'k'"],
        range(2, 6),
    ),
    "extend": (
        [FailsExtend([1, 2]), 1],
        "opcode APPENDS",
        [f"when filling a {HERE}.FailsExtend object", "list item 0"],
        range(2, 6),
    ),
    "append": (
        [FailsExtend([1]), 1],
        "opcode APPEND",
        [f"when filling a {HERE}.FailsExtend object", "list item 0"],
        range(2, 6),
    ),
    "item": (
        (1, FailsItem({1: 2})),
        "opcode SETITEM",
        [f"when filling a {HERE}.FailsItem object", "tuple item 1"],
        range(2, 6),
    ),
    "items": (
        (1, FailsItem({1: 2, 3: 4})),
        "opcode SETITEMS",
        [f"when filling a {HERE}.FailsItem object", "tuple item 1"],
        range(2, 6),
    ),
    "key": (
        (1, {FailsHash(): 1, 2: 3}),
        "opcode SETITEMS",
        ["when filling a dict object", "tuple item 1"],
        PROTOCOLS[1:],
    ),
    "element": (
        (1, {FailsHash()}),
        "opcode ADDITEMS",
        ["when filling a set object", "tuple item 1"],
        range(4, 6),
    ),
}  # fmt: skip


def reached(stream: bytes, opcode: str) -> list[int]:
    """Where *stream* has the opcode."""
    name = opcode.split()[1].rstrip(",")
    return [at for op, _, at in pickletools.genops(stream) if op.name == name]


@pytest.fixture
def loading() -> Any:
    FailsNew.loading = FailsHash.loading = True
    yield
    FailsNew.loading = FailsHash.loading = False


class Peeks(io.BufferedReader):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), 1 << 17)


#: Ways that have the whole stream at hand when they fail.
WHOLE: dict[str, Callable[[Any, bytes], Any]] = {
    "loads": lambda mod, data: mod.loads(data),
    "loads of a bytearray": lambda mod, data: mod.loads(bytearray(data)),
    "load": lambda mod, data: mod.load(Peeks(data)),
    "Unpickler": lambda mod, data: mod.Unpickler(Peeks(data)).load(),
}
WAYS = {
    **WHOLE,
    "load without peek": lambda mod, data: mod.load(io.BytesIO(data)),
    "Unpickler without peek": lambda mod, data: mod.Unpickler(io.BytesIO(data)).load(),
}


@pytest.mark.parametrize("name", INSIDE)
def test_notes_of_a_load_say_where_and_inside_what(name: str, loading: None) -> None:
    obj, opcode, inside, protocols = INSIDE[name]
    FailsNew.loading = FailsHash.loading = False
    expected = [note if note.startswith("when ") else f"when loading {note}" for note in inside]
    for protocol in protocols:
        FailsNew.loading = FailsHash.loading = False
        stream = c.dumps(obj, protocol)
        FailsNew.loading = FailsHash.loading = True
        places = reached(stream, opcode)
        for way, load in WAYS.items():
            label = f"{way}, protocol {protocol}"
            ours, theirs = attempt(load, ox, stream), attempt(load, c, stream)
            assert isinstance(ours, Raised), label
            assert ours[:2] == theirs[:2], label
            assert ours.notes[0] in [f"at byte {place}, {opcode}" for place in places], label
            if way in WHOLE or protocol >= 4:
                assert list(ours.notes[1:]) == expected, label
            assert theirs.notes == attempt_without_notes(load, ox, stream).notes == (), label


#: A bad stream -> the first note and those behind it, for every way of reading.
BAD: dict[str, tuple[bytes, list[str]]] = {
    "nothing": (b"", ["at byte 0, reading an opcode"]),
    "end": (b"\x80\x04N", ["at byte 3, reading an opcode", "when loading item 0 of what follows a NoneType"]),
    "no opcode": (b"K\x01\xff.", ["at byte 2, no opcode"]),
    "protocol": (b"\x80\x63.", ["at byte 0, opcode PROTO"]),
    "cut argument": (b"NB\x05\x00", ["at byte 1, opcode BINBYTES"]),
    "cut payload": (b"NB\x05\x00\x00\x00ab", ["at byte 1, opcode BINBYTES"]),
    "cut line": (b"NI12", ["at byte 1, opcode INT"]),
    "number": (b"NIx\n.", ["at byte 1, opcode INT"]),
    "frame": (b"\x80\x04\x95\x09\x00\x00\x00\x00\x00\x00\x00N.", ["at byte 2, opcode FRAME"]),
    "text": (b"K\x01X\x02\x00\x00\x00\xff\xff.", ["at byte 2, opcode BINUNICODE"]),
    "no mark": (b"Nt.", ["at byte 1, opcode TUPLE"]),
    "empty stack": (b"N0R.", ["at byte 2, opcode REDUCE"]),
    "memo": (b"]h\x07a.", ["at byte 1, opcode BINGET", "when loading list item 0"]),
    "global": (b"Ncno_such_module\nname\n.", ["at byte 1, opcode GLOBAL, looking for no_such_module.name"]),
    "nested": (
        b"\x80\x04\x8c\x02os\x8c\x04none\x93.",
        ["at byte 12, opcode STACK_GLOBAL, looking for os.none"],
    ),
    "class of INST": (b"](K\x01ios\nnone\n.", ["at byte 4, opcode INST, looking for os.none"]),
    "type of a class": (b"NN)\x81.", ["at byte 3, opcode NEWOBJ"]),
    "persistent id": (b"]Pid\na.", ["at byte 1, opcode PERSID", "when loading list item 0"]),
    "no buffer": (b"]\x97a.", ["at byte 1, opcode NEXT_BUFFER", "when loading list item 0"]),
    "odd number": (b"}(K\x01u.", ["at byte 4, opcode SETITEMS"]),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BAD)
def test_notes_of_a_bad_stream(name: str, way: str) -> None:
    stream, expected = BAD[name]
    ours, theirs = attempt(WAYS[way], ox, stream), attempt(WAYS[way], c, stream)
    assert isinstance(ours, Raised)
    assert ours[:2] == theirs[:2]
    assert ours.notes[0] == expected[0]
    if way in WHOLE and len(expected) > 1:
        assert list(ours.notes) == expected


def test_a_failing_load_counts_bytes_from_where_it_began() -> None:
    """One Unpickler reads pickle after pickle; `peek` shows several of them at once."""
    good, bad = c.dumps([1, "two"], 4), c.dumps([1, Fails()], 4)
    place = f"at byte {reached(bad, CALL)[0]}, {CALL}"
    for source in (io.BytesIO, Peeks):
        unpickler = ox.Unpickler(source(good + good + bad + b"rest"))
        assert unpickler.load() == unpickler.load() == [1, "two"]
        assert attempt(unpickler.load).notes[0] == place


@pytest.mark.parametrize("size", [10, 70_000, 3_000_000])
def test_bytes_behind_a_payload_that_went_straight_into_its_object(size: int) -> None:
    stream = c.dumps([b"x" * size, "y" * size, bytearray(size), Fails()], 5)
    place = f"at byte {reached(stream, CALL)[0]}, {CALL}"
    for way, load in WAYS.items():
        notes = attempt(load, ox, stream).notes
        assert notes[0] == place, way


def test_find_class_that_refuses_is_told_with_the_name() -> None:
    class Restricted(ox.Unpickler):  # type: ignore[misc, name-defined]
        def find_class(self, module: str, name: str) -> Any:
            raise c.UnpicklingError("forbidden")

    outcome = attempt(Restricted(io.BytesIO(c.dumps([Node(1)], 2))).load)
    assert outcome[:2] == (c.UnpicklingError, "forbidden")
    assert outcome.notes[0].endswith(f"opcode GLOBAL, looking for {HERE}.Node")


def test_an_exception_keeps_its_own_notes_and_its_identity() -> None:
    error = Refused("once")
    error.add_note("of its own")

    class Raises(ox.Unpickler):  # type: ignore[misc, name-defined]
        def persistent_load(self, pid: Any) -> Any:
            raise error

    with pytest.raises(Refused) as caught:
        Raises(io.BytesIO(b"(K\x01Qt.")).load()
    assert caught.value is error
    assert error.__notes__[:2] == ["of its own", "at byte 3, opcode BINPERSID"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError, StopIteration])
def test_any_exception_gets_notes(kind: type[BaseException]) -> None:
    class Raises(ox.Unpickler):  # type: ignore[misc, name-defined]
        def persistent_load(self, pid: Any) -> Any:
            raise kind("from the hook")

    outcome = attempt(Raises(io.BytesIO(b"K\x01Q.")).load)
    assert outcome.type is kind and outcome.notes[0] == "at byte 2, opcode BINPERSID"


def test_an_exception_that_takes_no_notes_comes_out_as_it_is() -> None:
    class Odd(Exception):
        def add_note(self, note: str) -> None:
            raise ZeroDivisionError

    class Raises(ox.Unpickler):  # type: ignore[misc, name-defined]
        def persistent_load(self, pid: Any) -> Any:
            raise Odd("odd")

    outcome = attempt(Raises(io.BytesIO(b"K\x01Q.")).load)
    assert outcome[:3] == (Odd, "odd", ()) and outcome.context is None


def test_loads_inside_loads_each_say_where() -> None:
    inner = c.dumps([Fails()], 4)

    class Nests(ox.Unpickler):  # type: ignore[misc, name-defined]
        def persistent_load(self, pid: Any) -> Any:
            return ox.loads(inner)

    notes = attempt(Nests(io.BytesIO(b"K\x01Q.")).load).notes
    assert [note for note in notes if note.startswith("at byte")] == [
        f"at byte {reached(inner, CALL)[0]}, {CALL}",
        "at byte 2, opcode BINPERSID",
    ]


@pytest.mark.parametrize("depth", [60, 99, 100, 101, 102, 5000])
def test_notes_of_a_deep_load_are_few(depth: int) -> None:
    """The first and the last fifty, and how many are between them."""
    obj: Any = Fails()
    for _ in range(depth):
        obj = [1, obj]
    stream = ox.dumps(obj, 4)
    for read in (ox.loads, lambda data: ox.load(Peeks(data))):
        notes = attempt(read, stream).notes
        level = "when loading list item 1"
        if depth <= 100:
            assert list(notes[1:]) == [level] * depth
        else:
            between = f"({depth - 100} levels are left out here)"
            assert list(notes[1:]) == [level] * 50 + [between] + [level] * 50


def test_notes_of_a_flood_of_marks_are_few() -> None:
    for flood in (b"(" * 100_000, b"(]" * 100_000, b"](" * 100_000):
        for end in (b"", b"\xff", b"N."):
            for read in (ox.loads, lambda data: ox.load(io.BytesIO(data))):
                outcome = attempt(read, flood + end)
                assert not isinstance(outcome, Raised) or len(outcome.notes) < 105


def test_no_code_of_users_is_run_for_the_notes() -> None:
    """The `repr` of a key, the `__name__` of a callable: what might be code is not asked."""
    asked: list[str] = []

    class Key:
        def __repr__(self) -> str:
            asked.append("repr")
            return "Key"

        def __hash__(self) -> int:
            return 1

    class Callable_:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            raise AttributeError(name)

        def __call__(self, *args: Any) -> Any:
            raise Refused("called")

    class Gives(ox.Unpickler):  # type: ignore[misc, name-defined]
        def persistent_load(self, pid: Any) -> Any:
            return Key() if pid == 1 else Callable_()

    # {Key(): Callable_()()}
    notes = attempt(Gives(Peeks(b"}K\x01QK\x02Q)Rs.")).load).notes
    assert notes[0].startswith("at byte 8, opcode REDUCE, calling a ")
    assert "item whose key is a " in notes[1]
    assert asked == []


def test_an_unpickler_is_usable_after_a_load_that_was_told_about() -> None:
    bad, good = c.dumps({"k": [Fails()]}, 4), c.dumps({"k": [1]}, 4)
    unpickler = ox.Unpickler(io.BytesIO(bad + good))
    assert attempt(unpickler.load).type is Refused
    rest = bad[reached(bad, CALL)[0] + 1 :]
    assert unpickler.memo.copy()  # what was read so far
    fresh = ox.Unpickler(io.BytesIO(good))
    assert fresh.load() == {"k": [1]}
    assert rest.endswith(b".")
