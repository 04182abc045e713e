"""Loading: every opcode, good and malformed, from memory and from files, as C loads it.

Streams by hand stand in `streams.py`. Sizes and indices that older C code believes are not given to
it: for them the better behaviour is stated. Nothing here asserts speed.
"""

from __future__ import annotations

import copyreg
import io
import json
import sys
import types
from typing import Any

import pytest

import corpus
import loaders  # noqa: F401 - found by name from the streams
import streams
from corpus import CASES
from streams import FRAMES, HOSTILE, SPARSE, STREAMS, frame, g, u32, u64
from support import (
    C_BOUNDS_LENGTHS,
    C_CLEAR_RESETS,
    C_ENFORCES_FRAMES,
    FRAME_ERRORS,
    PROTOCOLS,
    PY,
    TESTS,
    WE_ENFORCE_FRAMES,
    Raised,
    agree,
    attempt,
    c,
    explain,
    isomorphic,
    ox,
    run_child,
    same_error,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:Pickle, copy, and deepcopy:DeprecationWarning",
    "ignore:.*invalid escape sequence:DeprecationWarning",
    "ignore:.*invalid octal escape:DeprecationWarning",
)

# --- comparing ------------------------------------------------------------------------------------


def redump(value: Any) -> Any:
    """C's view of a loaded object; what cannot be pickled is described by its type."""
    outcome = attempt(c.dumps, value, 4)
    return outcome.type if isinstance(outcome, Raised) else outcome


def agree_loaded(ours: Any, theirs: Any, label: str) -> None:
    """Same exception, or the same graph with the same sharing, down to equal strings."""
    if isinstance(ours, Raised) or isinstance(theirs, Raised):
        if not same_error(ours, theirs):
            raise AssertionError(f"{label}: {explain(ours, theirs)}")
        return
    difference = isomorphic(ours, theirs)
    if difference is not None:
        raise AssertionError(f"{label}: {difference}")
    mine, other = redump(ours), redump(theirs)
    if mine != other:
        raise AssertionError(f"{label}, dumped again: {explain(mine, other)}")


class NoPeek:
    """The least a file must have."""

    def __init__(self, data: bytes) -> None:
        self.inner = io.BytesIO(data)

    def read(self, n: int) -> bytes:
        return self.inner.read(n)

    def readline(self) -> bytes:
        return self.inner.readline()


class WithPeek(NoPeek):
    """`peek` offers a few bytes only, `readinto` exists."""

    amount = 7

    def peek(self, n: int) -> bytes:
        data = self.inner.getvalue()
        at = self.inner.tell()
        return data[at : at + self.amount]

    def readinto(self, buffer: Any) -> int:
        return self.inner.readinto(buffer)


def unpickler(mod: Any, file: Any, **kwargs: Any) -> Any:
    return mod.Unpickler(file, **kwargs).load()


def subclass_load(mod: Any, data: bytes, **kwargs: Any) -> Any:
    class Sub(mod.Unpickler):
        pass

    return Sub(io.BytesIO(data), **kwargs).load()


def finder_load(mod: Any, data: bytes, **kwargs: Any) -> Any:
    class Finder(mod.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return super().find_class(module, name)

    return Finder(io.BytesIO(data), **kwargs).load()


READS = {
    "loads(bytes)": lambda mod, data, **kw: mod.loads(data, **kw),
    "loads(bytearray)": lambda mod, data, **kw: mod.loads(bytearray(data), **kw),
    "loads(memoryview)": lambda mod, data, **kw: mod.loads(memoryview(b"x" + data)[1:], **kw),
    "load(BytesIO)": lambda mod, data, **kw: mod.load(io.BytesIO(data), **kw),
    "load(BufferedReader)": lambda mod, data, **kw: mod.load(
        io.BufferedReader(io.BytesIO(data), 64), **kw
    ),
    "load(read and readline)": lambda mod, data, **kw: mod.load(NoPeek(data), **kw),
    "load(short peeks)": lambda mod, data, **kw: mod.load(WithPeek(data), **kw),
    "Unpickler": lambda mod, data, **kw: unpickler(mod, io.BytesIO(data), **kw),
    "Unpickler subclass": subclass_load,
    "find_class override": finder_load,
}


def same_load(data: bytes, **kwargs: Any) -> None:
    for name, read in READS.items():
        ours = attempt(read, ox, data, **kwargs)
        theirs = attempt(read, c, data, **kwargs)
        if isinstance(theirs, Raised) and theirs.type is MemoryError:
            # C makes room for any memo index, if the machine has it; ours goes on to the next error
            assert isinstance(ours, Raised), name
            assert ours.type in (MemoryError, c.UnpicklingError, EOFError), name
            continue
        agree_loaded(ours, theirs, name)


def same_exception(data: bytes) -> None:
    """Same result, or an exception of the same type."""
    for name, read in READS.items():
        ours, theirs = attempt(read, ox, data), attempt(read, c, data)
        if isinstance(ours, Raised) and isinstance(theirs, Raised):
            assert ours.type is theirs.type, name
        else:
            agree_loaded(ours, theirs, name)


# --- hand-written streams -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in STREAMS if not name.startswith("opcode")])
def test_stream(name: str) -> None:
    if name.startswith("stack global") and sys.version_info < (3, 11, 7):
        same_exception(STREAMS[name])  # its text for a short stack was another
    else:
        same_load(STREAMS[name])


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_as_an_opcode(byte: int) -> None:
    """Known opcodes need their argument and their stack; others are invalid load keys."""
    for name, data in STREAMS.items():
        if not name.startswith(f"opcode 0x{byte:02x}"):
            continue
        sized = byte in b"rBXT\x8d\x8e\x96\x95\x8b"
        if sized and not C_BOUNDS_LENGTHS and name.endswith(("ones", "a line")):
            continue  # the argument is a size of 2**24 and more, which C believes: see HOSTILE
        if byte == 0x93 and sys.version_info < (3, 11, 7):
            same_exception(data)  # as in test_stream
        else:
            same_load(data)


@pytest.mark.parametrize(
    "encoding", ["ASCII", "latin1", "utf-8", "bytes", "utf-16", "cp1252", "bogus", ""]
)
@pytest.mark.parametrize("errors", ["strict", "ignore", "replace", "surrogateescape", "bogus"])
def test_encodings_of_python_2_strings(encoding: str, errors: str) -> None:
    names = [n for n in STREAMS if n.startswith(("string", "binstring", "short binstring"))]
    for name in names:
        for read in ("loads(bytes)", "load(BytesIO)"):
            ours = attempt(READS[read], ox, STREAMS[name], encoding=encoding, errors=errors)
            theirs = attempt(READS[read], c, STREAMS[name], encoding=encoding, errors=errors)
            agree_loaded(ours, theirs, f"{name}, {read}")


@pytest.mark.parametrize("name", ["pickle", "cpickle"])
@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize("encoding", ["ASCII", "latin1", "bytes", "utf-8"])
@pytest.mark.parametrize("fix_imports", [True, False])
def test_python_2_file(name: str, protocol: int, encoding: str, fix_imports: bool) -> None:
    data = (TESTS / "data" / f"python2_{name}_{protocol}.pickle").read_bytes()
    same_load(data, encoding=encoding, fix_imports=fix_imports)
    if encoding == "latin1" and fix_imports:
        value = ox.loads(data, encoding=encoding)
        assert value[:6] == [None, True, False, 0, -1, 255]
        assert value[14] == "ascii"
        assert value[16] == "\xe9\xff bytes"
        assert value[-1] is int and value[-2] is str


@pytest.mark.parametrize("name", FRAMES)
def test_frame_boundaries(name: str) -> None:
    data = FRAMES[name]
    if C_ENFORCES_FRAMES == WE_ENFORCE_FRAMES:
        same_load(data)
    else:  # an old patch release; we follow the newest of its minor version
        for read in READS.values():
            outcome = attempt(read, ox, data)
            if name.endswith("ends the outer frame"):
                assert outcome is None
            else:
                assert isinstance(outcome, Raised), outcome
                assert outcome.type is c.UnpicklingError
                assert outcome.text in FRAME_ERRORS


@pytest.mark.skipif(not WE_ENFORCE_FRAMES, reason="no release of this version enforces frames")
@pytest.mark.parametrize("read", READS)
def test_a_read_may_begin_at_the_end_of_a_frame(read: str) -> None:
    for name, data in STREAMS.items():
        if name.startswith("frame: ends"):
            assert not isinstance(attempt(READS[read], ox, data), Raised), name


def test_negative_binstring() -> None:
    """Since 3.13.5 the length is told to be negative; 3.11 and 3.12 call it truncated."""
    for length in (-1, -(2**31)):
        outcome = attempt(ox.loads, b"T" + u32(length) + b"abc.")
        assert outcome.type is c.UnpicklingError
        expected = "BINSTRING pickle has negative byte count" if PY >= (3, 13) else None
        assert outcome.text == (expected or attempt(c.loads, b"T" + u32(length) + b"abc.").text)


# --- corpus ---------------------------------------------------------------------------------------

#: `message` holds classes that its library makes anew; the ints have a test of their own.
#: The states of instances met a second time have a test of their own too.
STATES_MET_AGAIN = ("instance_and_its_dict", "instance_deleted_and_set_again")
LOADABLE = [name for name in CASES if name not in ("frames_of_ints", "message", *STATES_MET_AGAIN)]


@pytest.mark.large
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_corpus_loads(protocol: int) -> None:
    """What C writes, we load to the same graph, from memory and from files."""
    for name in LOADABLE:
        data = attempt(c.dumps, CASES[name](), protocol)
        if isinstance(data, Raised):
            continue
        for read in ("loads(bytes)", "load(BytesIO)", "load(BufferedReader)"):
            ours = attempt(READS[read], ox, data)
            theirs = attempt(READS[read], c, data)
            agree_loaded(ours, theirs, f"{name}, {read}, protocol {protocol}")


@pytest.mark.large
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_corpus_loaded_and_dumped_again(protocol: int) -> None:
    """Our dump of what we loaded is C's dump of what C loaded: no name or part is shared less."""
    for name in LOADABLE:
        data = attempt(c.dumps, CASES[name](), protocol)
        if isinstance(data, Raised) or len(data) > 1 << 18:
            continue
        ours, theirs = attempt(ox.loads, data), attempt(c.loads, data)
        if isinstance(ours, Raised) or isinstance(theirs, Raised):
            agree_loaded(ours, theirs, name)
            continue
        for again in (5, 2):
            mine, other = attempt(ox.dumps, ours, again), attempt(c.dumps, theirs, again)
            agree(mine, other, f"{name}, protocol {protocol}, then {again}")
            ours, theirs = ox.loads(data), c.loads(data)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", STATES_MET_AGAIN)
def test_a_state_met_again_may_share_the_names_of_its_instance(name: str, protocol: int) -> None:
    """With C its names are always equal strings of their own, so a dump is never shorter (README)."""
    data = c.dumps(CASES[name](), protocol)
    ours, theirs = ox.loads(data), c.loads(data)
    assert [type(item) for item in ours] == [type(item) for item in theirs]
    for mine, other in zip(ours, theirs):
        mine, other = (x if isinstance(x, dict) else x.__dict__ for x in (mine, other))
        assert list(mine.items()) == list(other.items())
    states = [item for item in ours if isinstance(item, dict)]
    instance = next(item for item in ours if not isinstance(item, dict))
    for state in states:
        assert state is not instance.__dict__
    assert len(ox.dumps(ours)) <= len(c.dumps(theirs))


def test_frames_of_ints_load() -> None:
    for protocol in PROTOCOLS:
        value = ox.loads(c.dumps(list(range(100_000)), protocol))
        assert value == list(range(100_000))


@pytest.mark.large
@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("frames")][::9])
def test_every_truncation_fails_as_in_c(name: str) -> None:
    """Cut anywhere, a stream ends in the same exception, from memory and from files."""
    for protocol in (0, 2, 4, 5):
        data = attempt(c.dumps, CASES[name](), protocol)
        if isinstance(data, Raised):
            continue
        step = 1 + len(data) // 100
        for end in range(0, len(data), step):
            for read in ("loads(bytes)", "load(read and readline)"):
                ours = attempt(READS[read], ox, data[:end])
                theirs = attempt(READS[read], c, data[:end])
                if theirs.type is MemoryError or not same_error(ours, theirs):
                    raise AssertionError(f"cut at {end}, {read}: {explain(ours, theirs)}")


def test_state_keys_are_interned_as_in_c() -> None:
    """A later dump of loaded objects shares what C would share."""
    data = c.dumps([corpus.Plain(**{"long name": 1}), corpus.Plain(**{"long name": 2})], 4)
    data = data.replace(b"h\x05", b"\x8c\x09long name") if b"h\x05" in data else data
    ours, theirs = ox.loads(data), c.loads(data)
    assert c.dumps(ours, 4) == c.dumps(theirs, 4)
    keys = [key for obj in ours for key in obj.__dict__]
    assert keys[0] is keys[1] is sys.intern("long name")


# --- hostile lengths and indices --------------------------------------------------------------------


HOSTILE_CHILD = """
    import json, sys
    from streams import HOSTILE, SPARSE
    from support import Raised, attempt, ox
    from test_load import READS
    try:  # 128 MiB more than now: the process ends if a size is believed
        import resource
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + (128 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, OSError):
        pass
    for name, data in {**HOSTILE, **SPARSE}.items():
        for read in READS:
            print(json.dumps(["starts", name, read]), flush=True)
            outcome = attempt(READS[read], ox, data)
            if isinstance(outcome, Raised):
                outcome = [outcome.type.__name__, outcome.text]
            print(json.dumps([name, read, outcome]), flush=True)
"""


@pytest.fixture(scope="module")
def hostile_outcomes() -> dict[tuple[str, str], Any]:
    """What each way of reading made of each hostile stream, in a child with little memory."""
    done = run_child(HOSTILE_CHILD)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (
        f"ended with {done.returncode} at {lines[-1] if lines else 'the start'}\n"
        + done.stderr.decode(errors="replace")[-2000:]
    )
    return {(line[0], line[1]): line[2] for line in lines if line[0] != "starts"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_length(name: str, hostile_outcomes: Any) -> None:
    """A length is believed only as far as data arrives."""
    for read in READS:
        assert hostile_outcomes[name, read] == ["UnpicklingError", "pickle data was truncated"]
        if C_BOUNDS_LENGTHS:
            theirs = attempt(READS[read], c, HOSTILE[name])
            assert theirs[:2] == (c.UnpicklingError, "pickle data was truncated")


@pytest.mark.parametrize("name", SPARSE)
def test_hostile_memo_index(name: str, hostile_outcomes: Any) -> None:
    """A memo index costs what an entry costs, whatever its number."""
    expected: Any = {"many sparse": [0, 199], "sparse, then dense": [7, 6]}
    for i, other in enumerate(SPARSE):
        expected.setdefault(other, i + 1)
    for read in READS:
        assert hostile_outcomes[name, read] == expected[name], read
        if C_BOUNDS_LENGTHS:
            theirs = attempt(READS[read], c, SPARSE[name])
            assert (list(theirs) if isinstance(theirs, tuple) else theirs) == expected[name]


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, 3 << 20, 5_000_000])
@pytest.mark.parametrize("op", [b"B", b"X", b"\x8e", b"\x96", b"\x8d", b"\x95", b"T"])
def test_large_payloads_arrive_whole(size: int, op: bytes) -> None:
    """Reads in growing pieces put the same value together, whatever the file offers."""
    head = op + (u32(size) if op in b"BXT" else u64(size))
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    if op == b"\x95":
        body = b"X" + u32(size - 6) + body[: size - 6] + b"."
    data = head + body + (b"" if op == b"\x95" else b".")
    for name in ("loads(bytes)", "load(BytesIO)", "load(read and readline)", "load(short peeks)"):
        ours = READS[name](ox, data)
        theirs = READS[name](c, data)
        assert type(ours) is type(theirs)
        assert ours == theirs, name
    short = attempt(ox.load, io.BytesIO(data[: len(data) // 2]))
    assert short[:2] == (c.UnpicklingError, "pickle data was truncated")


# --- files ------------------------------------------------------------------------------------------


class LogFile:
    """A file that logs every call; *offers* names the methods it has."""

    def __init__(self, data: bytes, offers: str, peek_amount: int = 100, **answers: Any) -> None:
        self.inner = io.BytesIO(data)
        self.log: list[Any] = []
        self.peek_amount = peek_amount
        self.answers = answers
        for name in offers.split():
            setattr(self, name, getattr(self, "_" + name))

    def _answer(self, name: str, value: Any) -> Any:
        return self.answers[name](value) if name in self.answers else value

    def _read(self, n: int) -> Any:
        data = self.inner.read(n)
        self.log.append(("read", n, len(data)))
        return self._answer("read", data)

    def _readline(self) -> Any:
        data = self.inner.readline()
        self.log.append(("readline", len(data)))
        return self._answer("readline", data)

    def _readinto(self, buffer: Any) -> Any:
        size = self.inner.readinto(buffer)
        self.log.append(("readinto", len(buffer), type(buffer).__name__, size))
        return self._answer("readinto", size)

    def _peek(self, n: int) -> Any:
        at = self.inner.tell()
        data = self.inner.getvalue()[at : at + self.peek_amount]
        self.log.append(("peek", n, len(data)))
        return self._answer("peek", data)


OFFERS = [
    "read readline",
    "read readline readinto",
    "read readline peek",
    "read readline readinto peek",
]

LOGGED = [
    "document",
    "exceptions",
    "datetimes",
    "dict_of_1001_str",
    "between_65536",
    "between_70000",
]
LOGGED += [
    "large_payloads_in_containers",
    "many_distinct_str",
    "ints_of_many_bytes",
    "methods",
    "singleton_0",
]


def logged_load(mod: Any, data: bytes, offers: str, loads: int = 1, **answers: Any) -> Any:
    file = LogFile(data, offers, **answers)
    unpickler = attempt(mod.Unpickler, file)
    if isinstance(unpickler, Raised):
        return unpickler, file.log, file.inner.tell(), []
    outcomes = [attempt(unpickler.load) for _ in range(loads)]
    return None, file.log, file.inner.tell(), outcomes


def same_log(data: bytes, offers: str, loads: int = 1, **answers: Any) -> None:
    ours = logged_load(ox, data, offers, loads, **answers)
    theirs = logged_load(c, data, offers, loads, **answers)
    if ours[0] is not None or theirs[0] is not None:
        agree(ours[0], theirs[0])
    assert ours[1] == theirs[1], f"calls\n ours   {ours[1][:40]}\n theirs {theirs[1][:40]}"
    assert ours[2] == theirs[2], "position"
    for mine, other in zip(ours[3], theirs[3], strict=True):
        agree_loaded(mine, other, offers)


@pytest.mark.parametrize(
    ("offers", "peek_amount"),
    [
        *((offers, 0) for offers in OFFERS),
        *((offers, n) for offers in OFFERS[2:] for n in (1, 3, 100, 8192, 1 << 20)),
    ],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_calls_on_the_file(protocol: int, peek_amount: int, offers: str) -> None:
    """The same calls with the same arguments in the same order, and the same final position."""
    for name in LOGGED:
        data = c.dumps(CASES[name](), protocol)
        same_log(data + b"trailing bytes", offers, peek_amount=peek_amount)


@pytest.mark.parametrize("offers", OFFERS)
@pytest.mark.parametrize(
    "header", [b"C\x00", b"B" + u32(0), b"\x8e" + u64(0), b"\x96" + u64(0), b"X" + u32(0)]
)
def test_calls_for_empty_payloads(header: bytes, offers: str) -> None:
    """Bytes are read even where there are none to read, if all that came before is used up."""
    for before in (b"", b"N0", b"\x80\x04"):
        for after in (b"", b".", b"\x85."):
            for data in (before + header + after, before + frame(header) + after):
                for amount in (0, 1, 3, 100, 1 << 17):
                    same_log(data, offers, peek_amount=amount)


@pytest.mark.parametrize("offers", OFFERS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_several_pickles_in_one_file(protocol: int, offers: str) -> None:
    """One Unpickler reads them one by one and then runs out of input."""
    out = io.BytesIO()
    pickler = c.Pickler(out, protocol)
    shared = [1, "shared"]
    for value in (shared, {"s": shared}, "text", (shared, b"bytes" * 20000), 5):
        pickler.dump(value)
    for amount in (0, 5, 50, 1 << 17):
        same_log(out.getvalue(), offers, loads=7, peek_amount=amount)


@pytest.mark.parametrize("buffer_size", [1, 16, 8192])
def test_position_of_a_buffered_file(tmp_path: Any, buffer_size: int) -> None:
    """After each load the file stands right behind the STOP."""
    path = tmp_path / "many.pickle"
    values = [CASES[name]() for name in LOGGED]
    with open(path, "wb") as out:
        for i, value in enumerate(values):
            out.write(c.dumps(value, i % 6) + b"--")

    def positions(mod: Any) -> list[int]:
        found = []
        with open(path, "rb", buffering=max(buffer_size, 2)) as file:
            for _ in values:
                mod.load(file)
                found.append(file.tell())
                assert file.read(2) == b"--"
        return found

    assert positions(ox) == positions(c)


@pytest.mark.parametrize("offers", OFFERS)
def test_position_after_an_error(offers: str) -> None:
    for data in (
        b"\x80\x04K\x01\xffrest",
        b"(K\x01",
        b"Vabc",
        b"c\n\n",
        b"B\x05\x00\x00\x00ab",
        b"",
        b".rest",  # STOP with nothing to give: the file has been moved when that is found
        b"K\x01(.rest",
        b"K\x010.rest",
    ):
        for amount in (0, 4, 100):
            same_log(data, offers, loads=2, peek_amount=amount)


@pytest.mark.parametrize("offers", OFFERS)
@pytest.mark.parametrize(
    "answers",
    [
        {"read": lambda data: bytearray(data)},
        {"read": lambda data: memoryview(data)},
        {"read": lambda data: None},
        {"read": lambda data: "text"},
        {"read": lambda data: data[:-1]},
        {"read": lambda data: b""},
        {"read": lambda data: 5},
        {"readline": lambda data: bytearray(data)},
        {"readline": lambda data: memoryview(data)},
        {"readline": lambda data: None},
        {"readline": lambda data: data[:-1]},
        {"readline": lambda data: b""},
        {"readinto": lambda size: -1},
        {"readinto": lambda size: size - 1},
        {"readinto": lambda size: 0},
        {"readinto": lambda size: None},
        {"readinto": lambda size: 1.5},
        {"readinto": lambda size: "3"},
        {"readinto": lambda size: True},
        {"readinto": lambda size: size + 5},
        {"readinto": lambda size: 2**70},
    ],
    ids=lambda answers: next(iter(answers)) if isinstance(answers, dict) else str(answers),
)
def test_odd_answers_of_a_file(answers: Any, offers: str) -> None:
    streams_ = [
        c.dumps([1, "two", b"three" * 3], 4),
        c.dumps([1, "two", b"three", 10**30], 0),
        c.dumps({"k": bytearray(b"x" * 1000), "b": b"y" * 70000}, 5),
        b"B\x05\x00\x00\x00abcde.",
    ]
    for data in streams_:
        same_log(data, offers, **answers)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_peek_may_return_any_buffer(kind: Any) -> None:
    """C keeps a pointer into what it released, so that its calls vary: ours alone are judged."""
    for value in ([1, "two", b"three" * 3], {"k": bytearray(b"x" * 1000), "b": b"y" * 70000}):
        for protocol in PROTOCOLS:
            data = c.dumps(value, protocol)
            file = LogFile(data + b"rest", "read readline readinto peek", peek=kind)
            assert ox.load(file) == value
            assert file.inner.read() == b"rest"


@pytest.mark.parametrize("kind", [None, 5, "text"])
def test_peek_must_return_a_buffer(kind: Any) -> None:
    """C goes on reading with the exception set, so that its calls vary: ours alone are judged."""
    for protocol in PROTOCOLS:
        data = c.dumps([1, "two", b"three" * 3], protocol)
        file = LogFile(data, "read readline readinto peek", peek=lambda data: kind)
        outcome = attempt(ox.load, file)
        name = type(kind).__name__
        assert outcome[:2] == (TypeError, f"a bytes-like object is required, not '{name}'")


def _raising(error: BaseException) -> Any:
    def answer(value: Any) -> Any:
        raise error

    return answer


@pytest.mark.parametrize("name", ["read", "readline", "readinto", "peek"])
@pytest.mark.parametrize("kind", ["OSError", "NotImplementedError", "UnpicklingError", "EOFError"])
def test_errors_of_a_file(name: str, kind: str) -> None:
    """They pass through, but `peek` may say that it is not implemented."""
    error = c.UnpicklingError if kind == "UnpicklingError" else getattr(__builtins__, kind, None)
    error = error or vars(__import__("builtins"))[kind]
    for data in (c.dumps([1, b"two" * 9], 4), c.dumps([1, "two"], 0)):
        for offers in OFFERS:
            same_log(data, offers, loads=2, **{name: _raising(error("from the file"))})


def test_attributes_of_a_file_are_looked_up_once() -> None:
    def lookups(mod: Any) -> list[str]:
        log: list[str] = []

        class File:
            def __getattribute__(self, name: str) -> Any:
                log.append(name)
                if name in ("peek", "readinto"):
                    raise AttributeError(name)
                return getattr(io.BytesIO(c.dumps([1, "a"], 0)), name)

        unpickler = mod.Unpickler(File())
        before = list(log)
        attempt(unpickler.load)
        return [*before, "--", *log]

    assert lookups(ox) == lookups(c)


def test_text_lines_may_span_peeks() -> None:
    data = c.dumps(["a" * 50, 10**60, 1.5, corpus.Plain, "é€"], 0)
    for amount in range(1, 60, 3):
        same_log(data, "read readline peek", peek_amount=amount)


# --- buffers ----------------------------------------------------------------------------------------


BUFFERS: dict[str, Any] = {
    "none": lambda: None,
    "empty": lambda: [],
    "bytes": lambda: [b"one", b"two", b"three"],
    "bytearray": lambda: [bytearray(b"one"), bytearray(b"two")],
    "one": lambda: [b"one"],
    "iterator": lambda: iter([b"one", bytearray(b"two")]),
    "not buffers": lambda: [1, None, "x"],
    "int": lambda: 5,
    "read-only view": lambda: [memoryview(b"one"), memoryview(bytearray(b"two"))],
    "ours": lambda: [ox.PickleBuffer(b"one"), ox.PickleBuffer(bytearray(b"two"))],
}


@pytest.mark.parametrize("buffers", BUFFERS)
def test_out_of_band_buffers(buffers: str) -> None:
    for name in STREAMS:
        if not name.startswith("buffers"):
            continue
        for read in READS.values():
            made_ours, made_theirs = BUFFERS[buffers](), BUFFERS[buffers]()
            ours = attempt(read, ox, STREAMS[name], buffers=made_ours)
            theirs = attempt(read, c, STREAMS[name], buffers=made_theirs)
            if isinstance(ours, Raised) or isinstance(theirs, Raised):
                agree(ours, theirs, name)
            else:
                assert type(ours) is type(theirs), name


def test_a_buffer_is_pushed_unchanged() -> None:
    for buffer in (b"x", bytearray(b"x"), memoryview(b"x"), object(), ox.PickleBuffer(b"x")):
        assert ox.loads(b"\x97.", buffers=[buffer]) is buffer
    readonly = ox.loads(b"\x97\x98.", buffers=[bytearray(b"abc")])
    assert type(readonly) is memoryview
    assert readonly.readonly and bytes(readonly) == b"abc"


def test_buffers_that_fail_while_iterated() -> None:
    def failing() -> Any:
        yield b"one"
        raise LookupError("no more")

    for mod_outcomes in (
        [attempt(mod.loads, b"\x97\x97\x86.", buffers=failing()) for mod in (ox, c)],
        [attempt(mod.loads, b"\x97\x97\x86.", buffers=failing) for mod in (ox, c)],
    ):
        agree(*mod_outcomes)


# --- find_class ---------------------------------------------------------------------------------------


def test_find_class_gets_the_names_of_the_stream() -> None:
    def names(mod: Any, data: bytes, **kwargs: Any) -> Any:
        class Finder(mod.Unpickler):
            log: list[Any] = []

            def find_class(self, module: str, name: str) -> Any:
                self.log.append((module, name, type(module).__name__))
                return super().find_class(module, name)

        return attempt(Finder(io.BytesIO(data), **kwargs).load), Finder.log

    for name in ("methods", "exceptions", "enums", "class_2", "function_10", "reduce_newobj_ex"):
        for protocol in PROTOCOLS:
            data = c.dumps(CASES[name](), protocol)
            for fix in (True, False):
                ours = names(ox, data, fix_imports=fix)
                theirs = names(c, data, fix_imports=fix)
                agree_loaded(ours[0], theirs[0], name)
                assert ours[1] == theirs[1]


@pytest.mark.parametrize(
    "result", [None, 5, int, lambda *a: a, ["x"]], ids=["None", "int", "class", "function", "list"]
)
def test_find_class_may_return_anything(result: Any) -> None:
    for data in (
        g("anything", "at.all") + b".",
        g("a", "b") + b"K\x01\x85R.",
        g("a", "b") + b")\x81.",
        b"(K\x01ia\nb\n.",
        b"\x80\x04\x8c\x01a\x8c\x01b\x93\x94.",
    ):
        outcomes = []
        for mod in (ox, c):
            for make in (
                lambda self, m, n: result,
                staticmethod(lambda m, n: result),
                classmethod(lambda cls, m, n: result),
            ):
                finder = type("Finder", (mod.Unpickler,), {"find_class": make})
                outcomes.append(attempt(finder(io.BytesIO(data)).load))
        for mine, other in zip(outcomes[:3], outcomes[3:]):
            agree_loaded(mine, other, repr(data))


def test_find_class_as_an_instance_attribute() -> None:
    for mod in (ox, c):

        class Sub(mod.Unpickler):
            pass

        unpickler = Sub(io.BytesIO(g("x", "y") + b"."))
        unpickler.find_class = lambda module, name: (module, name)
        assert unpickler.load() == ("x", "y")


@pytest.mark.parametrize("proto", [0, 2, 4])
@pytest.mark.parametrize(
    "names",
    [
        *(("math", "pi"), ("math", "spam"), ("math", "log.spam"), ("math", None), (None, "pi")),
        *(
            ("", "pi"),
            (5, "pi"),
            ("math", 5),
            ("os", "path.join"),
            ("os", "path.nope"),
            ("nope", "x"),
        ),
        *(("corpus", "Outer.Inner.Innermost"), ("corpus", "Outer.<locals>.x"), ("math", "")),
        *(
            ("__builtin__", "unicode"),
            ("copy_reg", "dispatch_table"),
            ("a" * 200, "x"),
            ("math", "log."),
        ),
    ],
    ids=repr,
)
def test_find_class_called_directly(names: Any, proto: int) -> None:
    outcomes = []
    for mod in (ox, c):
        unpickler = mod.Unpickler(io.BytesIO(bytes([0x80, proto]) + b"N."))
        unpickler.load()
        outcomes.append(attempt(unpickler.find_class, *names))
    agree(*outcomes)


def test_find_class_looks_in_a_module_with_getattr() -> None:
    module = types.ModuleType("lazy_module")
    module.__getattr__ = lambda name: f"lazy {name}"  # type: ignore[method-assign]
    sys.modules["lazy_module"] = module
    try:
        for proto in (b"", b"\x80\x04"):
            for name in ("thing", "thing.upper", "thing.nope"):
                same_load(proto + g("lazy_module", name) + b".")
    finally:
        del sys.modules["lazy_module"]


@pytest.mark.parametrize("entry", [None, 5, types.SimpleNamespace(x=1), "str"])
def test_find_class_with_odd_entries_in_sys_modules(entry: Any) -> None:
    sys.modules["odd_entry"] = entry
    try:
        same_load(g("odd_entry", "x") + b".")
    finally:
        del sys.modules["odd_entry"]


def test_find_class_imports_through_builtins(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__
    for mod in (ox, c):
        seen: list[Any] = []

        def spy(name: str, *args: Any, seen: list[Any] = seen) -> Any:
            seen.append((name, len(args)))
            return real(name, *args)

        monkeypatch.setattr(builtins, "__import__", spy)
        mod.loads(g("corpus", "Plain") + b".")
        monkeypatch.setattr(builtins, "__import__", real)
        assert ("corpus", 4) in seen, mod.__name__


def test_a_module_is_imported_when_it_is_not_loaded() -> None:
    name = "wave" if "wave" not in sys.modules else "sndhdr"
    kept = sys.modules.pop(name, None)
    try:
        assert ox.loads(g(name, "Wave_read") + b".").__name__ == "Wave_read"
        assert name in sys.modules
    finally:
        if kept is not None:
            sys.modules[name] = kept


# --- persistent ids -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base", [b"Pabc\n.", b"P\n.", b"K\x01Q.", b"K\x01](K\x02e\x86Q.", b"NQ.", b"P\xff\n.", b"Q."]
)
def test_persistent_load(base: bytes) -> None:
    def fails(self: Any, pid: Any) -> Any:
        raise LookupError(pid)

    for make in (
        lambda self, pid: ("loaded", pid),
        staticmethod(lambda pid: ["static", pid]),
        classmethod(lambda cls, pid: [cls.__name__, pid]),
        fails,
        lambda self: None,
        None,
        5,
    ):
        outcomes = []
        for mod in (ox, c):
            sub = attempt(type, "Sub", (mod.Unpickler,), {"persistent_load": make})
            unpickler = attempt(sub, io.BytesIO(base))
            outcomes.append(unpickler if isinstance(unpickler, Raised) else attempt(unpickler.load))
        agree_loaded(*outcomes, repr(base))


# --- memo, EXT ------------------------------------------------------------------------------------------


def test_the_memo_stays_between_loads() -> None:
    """Multi-record files rely on it: indices go on, also after a failed load."""
    records = [
        b"](K\x01\x94e.",
        b"h\x00K\x05\x94\x86.",
        b"K\x06\x94\xff",
        b"h\x01h\x02\x86.",
        b"h\x09.",
    ]
    outcomes = []
    for mod in (ox, c):
        unpickler = mod.Unpickler(io.BytesIO(b"".join(records)))
        outcomes.append([attempt(unpickler.load) for _ in range(7)])
    for mine, other in zip(*outcomes):
        agree_loaded(mine, other, "record")


@pytest.mark.parametrize(
    "story", [b"Np5\n.", b"K\x01\x94K\x02\x94K\x03\x94.", b"K\x01q\x00K\x02q\x28\x94.", b"."]
)
def test_unpickler_memo_copy_and_counter(story: bytes) -> None:
    def run(mod: Any) -> Any:
        unpickler = mod.Unpickler(io.BytesIO(story + b"K\x09\x94." + b"h\x00."))
        first = attempt(unpickler.load)
        copy = unpickler.memo.copy()
        second = attempt(unpickler.load)
        later = unpickler.memo.copy()
        third = attempt(unpickler.load)
        return first, copy, second, later, third

    for mine, other in zip(run(ox), run(c)):
        agree(mine, other)


def test_clearing_the_memo_of_an_unpickler() -> None:
    def run(mod: Any) -> Any:
        unpickler = mod.Unpickler(io.BytesIO(b"K\x01\x94." + b"K\x02\x94." + b"h\x00."))
        unpickler.load()
        unpickler.memo.clear()
        empty = unpickler.memo.copy()
        unpickler.load()
        return empty, unpickler.memo.copy(), attempt(unpickler.load)

    if C_CLEAR_RESETS or PY < (3, 14):
        for mine, other in zip(run(ox), run(c)):
            agree(mine, other)
    else:
        assert run(ox)[:2] == ({}, {0: 2})


@pytest.mark.parametrize("code", [1, 200, 255, 256, 65535, 65536, 2**31 - 1])
def test_extension_codes(code: int) -> None:
    copyreg.add_extension("corpus", "Plain", code)
    try:
        data = c.dumps([corpus.Plain, corpus.Plain(a=1)], 2)
        same_load(data)
        assert copyreg._extension_cache[code] is corpus.Plain
        same_load(data)
    finally:
        copyreg.remove_extension("corpus", "Plain", code)


@pytest.mark.parametrize(
    "entry",
    [None, 5, "xy", ("corpus",), ("corpus", 5), [1, 2], ("corpus", "Nope"), ("a", "b", "c")],
)
def test_bad_extension_entries(entry: Any) -> None:
    copyreg._inverted_registry[9] = entry
    same_load(b"\x82\x09.")
    assert 9 not in copyreg._extension_cache


def test_the_extension_cache_comes_first_and_is_filled() -> None:
    for mod in (ox, c):
        copyreg.clear_extension_cache()
        copyreg._inverted_registry[11] = ("corpus", "Plain")
        copyreg._extension_cache[10] = "cached"
        finder = type("F", (mod.Unpickler,), {"find_class": lambda self, m, n: (m, n)})
        assert mod.loads(b"\x82\x0a.") == "cached"
        assert finder(io.BytesIO(b"\x82\x0b.")).load() == ("corpus", "Plain")
        assert mod.loads(b"\x82\x0b.") == ("corpus", "Plain")
        assert mod.loads(b"\x83\x0b\x00.") == ("corpus", "Plain")


def test_a_dotted_extension_name_needs_protocol_4() -> None:
    copyreg._inverted_registry[12] = ("corpus", "Outer.Inner")
    for head in (b"", b"\x80\x02", b"\x80\x04"):
        copyreg.clear_extension_cache()
        ours = attempt(ox.loads, head + b"\x82\x0c.")
        copyreg.clear_extension_cache()
        agree(ours, attempt(c.loads, head + b"\x82\x0c."), repr(head))


# --- audit ------------------------------------------------------------------------------------------------


def test_audit_event_of_find_class() -> None:
    """`pickle.find_class` is raised first, with the names of the stream, and may refuse."""
    from support import child_ok

    out = child_ok(
        """
        import sys
        from support import ox, c
        log = []
        def hook(event, args):
            if event == "pickle.find_class":
                log.append(args)
                if args[1] == "refused":
                    raise LookupError("refused by the hook")
        sys.addaudithook(hook)
        for mod in (ox, c):
            log.clear()
            mod.loads(b"c__builtin__\\nxrange\\n.")
            mod.loads(b"\\x80\\x04\\x8c\\x03sys\\x8c\\x06intern\\x93.")
            for data in (b"cno_such\\nrefused\\n.", b"cmath\\nrefused\\n."):
                try:
                    mod.loads(data)
                except LookupError as error:
                    log.append(str(error))
            print(log)
        """
    )
    ours, theirs = out.splitlines()
    assert ours == theirs
    assert "('__builtin__', 'xrange')" in ours


# --- data given to loads ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        "text",
        5,
        None,
        [1],
        memoryview(b"K\x01.")[::-1],
        memoryview(b"K\x05.K\x05.")[::2],
        memoryview(b"K\x01.").cast("b"),
        memoryview(bytearray(b"K\x01.....K\x01...."[:8])).cast("I"),
        bytearray(b"K\x07."),
        io.BytesIO(b"K\x01."),
    ],
    ids=lambda data: type(data).__name__,
)
def test_what_loads_accepts(data: Any) -> None:
    agree(attempt(ox.loads, data), attempt(c.loads, data))


def test_the_data_is_locked_while_it_is_read() -> None:
    """A reducer that resizes the bytearray it comes from is refused, not followed."""
    for mod in (ox, c):
        data = bytearray(g("loaders", "resize") + b")R.")
        streams_module = sys.modules["loaders"]
        streams_module.resize = lambda data=data: data.extend(b"x" * 1000)
        try:
            outcome = attempt(mod.loads, data)
        finally:
            del streams_module.resize
        assert outcome.type is BufferError
        data.extend(b"free again")


def test_no_stray_references_are_left(collected: None) -> None:
    """The result owns its parts alone."""
    value = ox.loads(c.dumps([[1], (2, [3]), {"k": corpus.Plain(a=[4])}], 5))
    reference = c.loads(c.dumps([[1], (2, [3]), {"k": corpus.Plain(a=[4])}], 5))
    for mine, other in zip(value, reference):
        assert sys.getrefcount(mine) == sys.getrefcount(other)
    assert sys.getrefcount(value[2]["k"]) == sys.getrefcount(reference[2]["k"])
    assert streams.STREAMS
    assert frame(b"") == b"\x95" + bytes(8)


def test_an_index_that_was_far_off_comes_into_reach() -> None:
    """3.15 keeps such an entry apart, and moves it to the others, uncounted, when it is asked for there."""
    head = b"]" + b"\x94" * 8 + b"\x8c\x08builtins\x8c\x06object\x93q#"
    for before in range(20, 40):
        for asked in (b"", b"h#", b"h#h#"):
            for after in range(6):
                start = head + b"\x94" * before + asked + b"\x94" * after
                for end in (b".", b"\x85\x94h#.", b"\x85\x94R\x94h#.", b"\x85q#\x94\x94h#."):
                    assert attempt(ox.loads, start + end) == attempt(c.loads, start + end)
                memos = []
                for module in (ox, c):
                    unpickler = module.Unpickler(io.BytesIO(start + b"."))
                    unpickler.load()
                    memos.append(unpickler.memo.copy())
                assert memos[0].keys() == memos[1].keys()
