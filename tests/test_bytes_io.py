"""Where a BytesIO stands: at the end of a load, at its failure, and whenever code of users runs meanwhile.

Of a BytesIO more is read at once than C reads (`src/unpickler/input.rs`): nobody may be able to tell.
"""

from __future__ import annotations

import copyreg
import gc
import io
import sys
from typing import Any

import pytest

from corpus import CASES
from streams import STREAMS, frame, g
from support import C_ENFORCES_FRAMES, PROTOCOLS, WE_ENFORCE_FRAMES, Raised, attempt, c, explain, ox

#: The file that is being read, and where it stood, by what asked.
current: list[io.BytesIO] = []
stood: list[tuple[str, int]] = []


def note(who: str) -> None:
    if current:
        stood.append((who, current[-1].tell()))


class Tells:
    """Notes the place whenever the stream makes code of it run."""

    def __new__(cls, *args: Any) -> Any:
        note("new")
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None:
        note("init")

    def __getnewargs__(self) -> tuple[int]:
        return (1,)

    def __setstate__(self, state: Any) -> None:
        note("setstate")

    def __getstate__(self) -> Any:
        return {"a": 1}

    def __hash__(self) -> int:
        note("hash")
        return 1

    def __eq__(self, other: object) -> bool:
        note("eq")
        return self is other

    def __del__(self) -> None:
        note("del")


class Called(Tells):
    def __reduce__(self) -> Any:
        return Called, (1, "text"), {"a": 2}


class Appends(list):
    """Filled by methods of its own."""

    def append(self, item: Any) -> None:
        note("append")

    def extend(self, items: Any) -> None:
        note("extend")

    def __setitem__(self, key: Any, value: Any) -> None:
        note("setitem")

    def __reduce__(self) -> Any:
        return Appends, (), None, iter([1, 2, 3]), iter([("k", 1), ("l", 2)])


class Named(str):
    """A key whose hash is code."""

    def __hash__(self) -> int:
        note("hash")
        return str.__hash__(self)


def values() -> dict[str, Any]:
    tells, called = Tells(), Called()
    return {
        "one": Tells(),
        "called": Called(),
        "between plain data": [1, "text", tells, 2.5, called, b"bytes", (3, tells), None],
        "keys": {tells: 1, (1, called): 2, "plain": 3},
        "named keys": {Named("a"): 1, Named("b"): {Named("a"): 2}},
        "in sets": [{tells, 1}, frozenset({called, 2})],
        "filled": [Appends(), 1, Appends()],
        "after much plain data": [list(range(5000)), tells, list(range(5000)), called],
        "after large payloads": [b"x" * 70_000, tells, "y" * 70_000, bytearray(70_000), called],
        "shared": [tells] * 300,
    }


class Hooks:
    """Ways to load, each with what it logs."""

    @staticmethod
    def load(mod: Any, file: io.BytesIO) -> Any:
        return mod.load(file)

    @staticmethod
    def unpickler(mod: Any, file: io.BytesIO) -> Any:
        return mod.Unpickler(file).load()

    @staticmethod
    def hooks(mod: Any, file: io.BytesIO) -> Any:
        class Hooked(mod.Unpickler):
            def persistent_load(self, pid: Any) -> Any:
                note("persistent_load")
                return Named(pid) if isinstance(pid, str) else ["loaded"]

            def find_class(self, module: str, name: str) -> Any:
                note("find_class")
                return super().find_class(module, name)

        return Hooked(file).load()

    @staticmethod
    def codec(mod: Any, file: io.BytesIO) -> Any:
        return mod.load(file, encoding="bytes")


WAYS = [Hooks.load, Hooks.unpickler, Hooks.hooks, Hooks.codec]


def outcome(way: Any, mod: Any, data: bytes, start: int = 0) -> tuple[Any, list[Any], int]:
    """What came of a load that starts at *start*, where the file stood meanwhile, and where at the end."""
    file = io.BytesIO(data)
    file.seek(start)
    current.append(file)
    stood.clear()
    try:
        value = attempt(way, mod, file)
        at = file.tell()
        log = list(stood)
    finally:
        current.pop()
    return value, log, at


def same_places(way: Any, data: bytes, start: int = 0) -> None:
    theirs, their_log, their_end = outcome(way, c, data, start)
    if isinstance(theirs, Raised) and theirs.type is MemoryError:
        return  # an index of the memo, which C believes
    ours, log, end = outcome(way, ox, data, start)
    if (log, end) != (their_log, their_end):
        what = f"{way.__name__}: {data[:80]!r}: {explain(ours, theirs)}"
        raise AssertionError(f"{what}\nours {log} {end}, theirs {their_log} {their_end}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("way", WAYS)
def test_code_of_users_finds_the_file_where_c_has_it(way: Any, protocol: int) -> None:
    for value in values().values():
        data = c.dumps(value, protocol)
        same_places(way, data)
        same_places(way, data + b"something else", 0)
        same_places(way, b"before" + data + data, 6)


@pytest.mark.parametrize("way", WAYS)
def test_streams_by_hand_leave_the_file_where_c_does(way: Any) -> None:
    for data in STREAMS.values():
        if b"\x95" in data and WE_ENFORCE_FRAMES and not C_ENFORCES_FRAMES:
            continue
        same_places(way, data)
        # Zeros first: of four other bytes C would make an index of the memo, and take gigabytes.
        same_places(way, data + b"\0\0\0\0K\x01K\x02K\x03K\x04K\x05.")
        same_places(way, data[: len(data) * 2 // 3])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_failing_load_leaves_the_file_where_c_does(protocol: int) -> None:
    for value in values().values():
        data = c.dumps(value, protocol)
        cuts = sorted({*range(0, min(len(data), 120)), *range(0, len(data), 1 + len(data) // 60)})
        for cut in cuts:
            same_places(Hooks.load, data[:cut])
            same_places(Hooks.load, data[:cut] + b"\xff" + data[cut:])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_load_after_the_other(protocol: int) -> None:
    """From the same BytesIO, by one Unpickler, by functions, and by turns."""
    objects = [make() for name, make in CASES.items() if len(attempt_dumps(make)) in range(1, 500)]
    pickles = [c.dumps(one, protocol) for one in objects[:150]]
    for turns in ([True], [False], [True, False]):
        logs = []
        for mod in (c, ox):
            file = io.BytesIO(b"".join(pickles))
            unpickler = mod.Unpickler(file)
            log = []
            for number in range(len(pickles) + 1):
                by_unpickler = turns[number % len(turns)]
                value = attempt(unpickler.load if by_unpickler else lambda: mod.load(file))
                log.append((type(value), file.tell(), sorted(unpickler.memo.copy())))
            logs.append(log)
        assert logs[0] == logs[1]


def test_what_a_frame_has_made_is_used_behind_it() -> None:
    """Opcodes of plain data run code of users as soon as an object of theirs is there."""
    made = g(__name__, "Tells") + b")\x81\x94"
    behind = b"}h\x00K\x01s" + b"K\x05" * 40 + b"(h\x00t\x85}h\x00K\x02s" + b"K\x05" * 40 + b"."
    same_places(Hooks.load, b"\x80\x04" + frame(made) + behind)
    logs = []
    for mod in (c, ox):
        for first in (b"\x80\x04" + frame(made + b"."), b"\x80\x02" + made + b"."):
            file = io.BytesIO(first + b"\x80\x02" + behind)
            current.append(file)
            stood.clear()
            unpickler = mod.Unpickler(file)
            unpickler.load()
            at = file.tell()
            attempt(unpickler.load)
            current.pop()
            logs.append((list(stood), at, file.tell()))
            del unpickler
    assert logs[:2] == logs[2:]
    assert [who for who, _ in logs[0][0]].count("hash") == 2


def test_a_memo_that_was_assigned_may_hold_anything() -> None:
    logs = []
    for mod in (c, ox):
        file = io.BytesIO(b"\x80\x02}h\x00K\x01s" + b"K\x05" * 40 + b".")
        unpickler = mod.Unpickler(file)
        other = mod.Unpickler(io.BytesIO(g(__name__, "Tells") + b")\x81q\x00."))
        other.load()
        unpickler.memo = other.memo
        current.append(file)
        stood.clear()
        attempt(unpickler.load)
        current.pop()
        logs.append((list(stood), file.tell()))
    assert logs[0] == logs[1]
    assert ("hash", 8) in logs[0][0]


def attempt_dumps(make: Any) -> bytes:
    data = attempt(lambda: c.dumps(make(), 0))
    return data if isinstance(data, bytes) else b""


def test_a_hook_reads_from_the_middle() -> None:
    """As joblib does: the data of an array lie in the file behind the object that stands for it."""

    class Reads:
        def __setstate__(self, size: int) -> None:
            self.data = current[-1].read(size)

        def __reduce__(self) -> Any:
            return copyreg._reconstructor, (Reads, object, None), 0  # type: ignore[attr-defined]

    globals()["Reads"] = Reads
    Reads.__qualname__ = "Reads"
    for protocol in (0, 1, 2, 3):  # without frames
        one = c.dumps(Reads(), protocol).replace(b"I0\n", b"I7\n").replace(b"K\x00", b"K\x07")
        assert one.endswith(b"b.")
        data = b"" if protocol < 2 else b"\x80" + bytes([protocol])
        body = one if protocol < 2 else one[2:]
        data += b"(K\x05" + body[:-1] + b"PAYLOAD" + b"X\x03\x00\x00\x00endt."
        got = []
        for mod in (c, ox):
            file = io.BytesIO(data)
            current.append(file)
            try:
                number, reads, end = mod.load(file)
            finally:
                current.pop()
            got.append((number, reads.data, end, file.tell()))
        assert got[0] == got[1] == (5, b"PAYLOAD", "end", len(data))


def test_a_hook_changes_the_file() -> None:
    """What it writes into the stream, cuts off or skips is what is loaded next."""
    changes = {
        "writes": lambda file: file.getbuffer().__setitem__(slice(file.tell(), file.tell() + 2), b"K\x09"),
        "skips": lambda file: file.seek(2, 1),
        "goes back": lambda file: file.seek(0, 2),
        "cuts off": lambda file: file.truncate(file.tell()),
        "closes": lambda file: file.close(),
    }  # fmt: skip
    for name, change in changes.items():
        for protocol in (2, 3):
            stream = b"\x80" + bytes([protocol]) + b"(K\x01X\x01\x00\x00\x00aQK\x02K\x03K\x04t."
            got = []
            for mod in (c, ox):

                class Changes(mod.Unpickler):
                    def persistent_load(self, pid: str) -> Any:
                        change(self.file)
                        return pid

                file = io.BytesIO(stream)
                unpickler = Changes(file)
                unpickler.file = file
                value = attempt(unpickler.load)
                got.append((value, attempt(file.tell)))
            assert got[0] == got[1], (name, protocol)


def test_methods_of_the_instance_are_called() -> None:
    """A BytesIO has a dict: what lies there goes before its own methods, call by call."""
    value = [1, "a", b"b" * 300, {"k": 2.5}]
    for replaced in ("read", "readinto", "readline", "peek"):
        data = c.dumps(value, 0 if replaced == "readline" else 3) + b"N."
        logs = []
        for mod in (c, ox):
            file = io.BytesIO(data)
            log: list[Any] = []

            def method(*args: Any) -> Any:
                log.append(tuple(len(a) if isinstance(a, memoryview) else a for a in args))
                if replaced == "peek":
                    at = file.tell()
                    shown = io.BytesIO.read(file, 5)
                    file.seek(at)
                    return shown
                return getattr(io.BytesIO, replaced)(file, *args)

            setattr(file, replaced, method)
            logs.append((mod.load(file), log, file.tell()))
        assert logs[0] == logs[1]
        assert logs[0][1]


@pytest.mark.parametrize("moment", ["before", "between", "after"])
@pytest.mark.parametrize("name", ["read", "readinto", "readline", "peek", "name"])
def test_what_is_put_into_the_dict_counts_from_the_next_unpickler_on(
    name: str, moment: str
) -> None:
    """An Unpickler looks methods up when it is made; what its file is given later does not matter to it."""
    value = [1, "a", b"b" * 300, {"k": 2.5}]
    data = c.dumps(value, 0 if name == "readline" else 3)
    logs = []
    for mod in (c, ox):
        file = io.BytesIO(data * 3)
        log: list[Any] = []

        def method(*args: Any) -> Any:
            log.append(tuple(len(a) if isinstance(a, memoryview) else a for a in args))
            if name == "peek":
                return b""
            return getattr(io.BytesIO, name)(file, *args)

        if moment == "before":
            setattr(file, name, method)
        first = mod.Unpickler(file)
        if moment == "between":
            setattr(file, name, method)
        loaded = [first.load(), mod.Unpickler(file).load()]
        if moment == "after":
            setattr(file, name, method)
            delattr(file, name)
            assert vars(file) == {}
        loaded.append(mod.Unpickler(file).load())
        assert loaded == [value] * 3
        logs.append((log, file.tell()))
    assert logs[0] == logs[1]
    assert bool(logs[0][0]) == (name != "name" and moment != "after")


def test_methods_of_a_subclass_are_called() -> None:
    """A class of Python may have the methods in any place: itself, its bases, its look-up."""

    class Overrides(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            log.append(size)
            return super().read(size)

    class LooksUp(io.BytesIO):
        def __getattribute__(self, name: str) -> Any:
            log.append(name)
            return super().__getattribute__(name)

    for cls in (Overrides, LooksUp):
        logs, files = [], []
        for mod in (c, ox):
            log: list[Any] = []
            # What is freed is asked whether it is closed.
            files.append(cls(c.dumps([1, "a"], 3)))
            assert mod.Unpickler(files[-1]).load() == [1, "a"]
            logs.append(log)
        assert logs[0] == logs[1]
        assert logs[0]


def test_asking_for_its_methods_gives_a_file_no_dict() -> None:
    """A BytesIO has no dict until one is asked for: nobody does."""
    before = sys.getsizeof(io.BytesIO(b"N."))
    file = io.BytesIO(b"N.")
    assert ox.Unpickler(file).load() is None
    assert gc.get_referents(file) == gc.get_referents(io.BytesIO(b"N."))
    assert sys.getsizeof(file) == before
    vars(file)
    assert gc.get_referents(file) != gc.get_referents(io.BytesIO(b"N."))


def test_a_file_that_is_closed_or_exported_meanwhile() -> None:
    got = []
    for mod in (c, ox):
        file = io.BytesIO(b"N.N.N.")
        unpickler = mod.Unpickler(file)
        steps = [attempt(unpickler.load)]
        view = file.getbuffer()
        steps.append(attempt(unpickler.load))
        view.release()
        file.close()
        got.append([*steps, attempt(unpickler.load), attempt(mod.Unpickler, file)])
    assert got[0][:3] == got[1][:3]
    assert isinstance(got[0][2], Raised)
    assert isinstance(got[0][3], c.Unpickler)
    assert isinstance(got[1][3], ox.Unpickler)


def test_what_is_not_there_takes_no_memory() -> None:
    """A length in the stream is not believed: nothing but what is in the BytesIO is read."""
    for opcode in (b"B\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 7 + b"\x3f", b"X\xff\xff\xff\x7f"):
        file = io.BytesIO(b"\x80\x04" + opcode + b"abc")
        error = attempt(ox.load, file)
        assert (error.type, error.text) == (ox.UnpicklingError, "pickle data was truncated")
        assert file.tell() == 2 + len(opcode) + 3
