"""User code that comes back while a dump or load is running, and containers that it changes.

The tests that carry a number replay an issue of CPython's tracker. Where C refuses (the newest patch
releases) we must agree with it; where an older C crashes or corrupts, the same refusal is asked of
us alone. `dumps` and `loads` own what they use and may nest freely.
"""

from __future__ import annotations

import copyreg
import io
import types
from collections.abc import Callable
from typing import Any

import pytest

from support import (
    C_REFUSES_REENTRY,
    PROTOCOLS,
    Raised,
    agree,
    attempt,
    c,
    child_ok,
    ox,
    same_error,
)

PICKLER_USED = "Pickler object is already used"
UNPICKLER_USED = "Unpickler object is already used"


class Calls:
    """Runs *action* when it is reduced, and is saved as an empty list."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self.action = action
        self.outcomes: list[Any] = []

    def __reduce__(self) -> Any:
        self.outcomes.append(attempt(self.action))
        return list, ()


class Writer(io.BytesIO):
    """Runs *action* at each write."""

    action: Callable[[], Any] | None = None

    def write(self, data: Any) -> int:
        if self.action is not None:
            self.action()
        return super().write(data)


def is_refusal(outcome: Any, text: str) -> bool:
    return isinstance(outcome, Raised) and outcome.type is RuntimeError and outcome.text == text


# --- gh-143638: one Pickler, one dump ---------------------------------------------------------


def dump_inside(pickler: Any) -> None:
    pickler.dump([1])


def init_inside(pickler: Any) -> None:
    pickler.__init__(io.BytesIO())


def init_failing_inside(pickler: Any) -> None:
    pickler.__init__(io.BytesIO(), 99)


NESTED_PICKLER = [dump_inside, init_inside, init_failing_inside]


@pytest.mark.parametrize("nested", NESTED_PICKLER)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_gh_143638_pickler_in_a_reducer(nested: Callable[[Any], None], protocol: int) -> None:
    """Refused; the outer dump goes on as if nothing had been tried, and the object is usable."""

    def run(mod: Any) -> Any:
        out = io.BytesIO()
        pickler = mod.Pickler(out, protocol)
        caller = Calls(lambda: nested(pickler))
        shared = ["shared"]
        pickler.dump([shared, caller, shared, (caller, {"k": shared})])
        pickler.dump(shared)
        return out.getvalue(), caller.outcomes

    stream, outcomes = run(ox)
    assert [is_refusal(outcome, PICKLER_USED) for outcome in outcomes] == [True]
    assert c.loads(stream) == [["shared"], [], ["shared"], ([], {"k": ["shared"]})]
    if C_REFUSES_REENTRY:
        agree((stream, outcomes), run(c))


@pytest.mark.parametrize("nested", NESTED_PICKLER)
@pytest.mark.parametrize(
    "place",
    [
        "persistent_id",
        "reducer_override",
        "dispatch_table",
        "write",
        "buffer_callback",
        "__reduce__",
    ],
)
def test_gh_143638_pickler_in_each_hook(nested: Callable[[Any], None], place: str) -> None:
    refusals: list[Any] = []

    class Hooked(ox.Pickler):
        if place == "persistent_id":

            def persistent_id(self, obj: Any) -> None:
                refusals.append(attempt(nested, self))

        if place == "reducer_override":

            def reducer_override(self, obj: Any) -> Any:
                refusals.append(attempt(nested, self))
                return NotImplemented

    def on_buffer(buffer: Any) -> bool:
        refusals.append(attempt(nested, pickler))
        return True

    out = Writer()
    pickler = Hooked(out, 5, buffer_callback=on_buffer if place == "buffer_callback" else None)
    obj: list[Any] = [len, {"a": 1}]
    if place == "write":
        out.action = lambda: refusals.append(attempt(nested, pickler))
        obj.append(b"x" * 200_000)
    if place == "buffer_callback":
        obj.append(ox.PickleBuffer(b"abc"))
    if place == "dispatch_table":

        def reduce(value: complex) -> Any:
            refusals.append(attempt(nested, pickler))
            return complex, (value.real, value.imag)

        pickler.dispatch_table = {complex: reduce}
        obj.append(1j)
    if place == "__reduce__":
        obj.append(Calls(lambda: refusals.append(attempt(nested, pickler))))
    pickler.dump(obj)
    assert refusals and all(is_refusal(outcome, PICKLER_USED) for outcome in refusals)
    out.action = None
    before = out.tell()
    pickler.dump(None)
    assert ox.loads(out.getvalue()[before:]) is None


def test_a_refusal_that_escapes_ends_the_outer_dump() -> None:
    class Nested:
        def __reduce__(self) -> Any:
            pickler.dump(1)
            raise AssertionError("not reached")

    out = io.BytesIO()
    pickler = ox.Pickler(out)
    with pytest.raises(RuntimeError, match=PICKLER_USED):
        pickler.dump([Nested()])
    pickler.dump([2])
    assert ox.loads(out.getvalue()) == [2]


def test_free_use_while_a_dump_is_running() -> None:
    """The memo, clear_memo, fast, bin and __sizeof__ stay usable inside, with effect at once."""

    def run(mod: Any, action: Callable[[Any], Any], protocol: int) -> Any:
        out = io.BytesIO()
        pickler = mod.Pickler(out, protocol)
        caller = Calls(lambda: action(pickler))
        first, second = ["first"], ["second"]
        obj = [first, caller, first, second, second, {"k": first}, "text" * 3]
        result = attempt(pickler.dump, obj)
        return (
            result,
            out.getvalue(),
            [o if isinstance(o, Raised) else None for o in caller.outcomes],
        )

    def set_fast(pickler: Any) -> None:
        pickler.fast = True

    def set_bin(pickler: Any) -> None:
        pickler.bin = False

    def set_memo(pickler: Any) -> None:
        pickler.memo = {}

    def keep_memo(pickler: Any) -> None:
        pickler.memo = pickler.memo.copy()

    def bad_memo(pickler: Any) -> None:
        pickler.memo = {1: 2}

    def read(pickler: Any) -> None:
        assert len(pickler.memo.copy()) >= 2

    def sizeof(pickler: Any) -> None:
        assert pickler.__sizeof__() > 0

    for action in (
        lambda pickler: pickler.clear_memo(),
        lambda pickler: pickler.memo.clear(),
        set_fast,
        set_bin,
        set_memo,
        keep_memo,
        bad_memo,
        read,
        sizeof,
    ):
        for protocol in PROTOCOLS:
            agree(run(ox, action, protocol), run(c, action, protocol), f"{action}, {protocol}")


def test_dumps_inside_dumps() -> None:
    """Functions own what they use: nested calls on the same objects do not disturb each other."""

    def run(mod: Any, protocol: int) -> Any:
        shared = {"shared": ["x"]}

        class Nests:
            depth = 0

            def __reduce__(self) -> Any:
                Nests.depth += 1
                inner = mod.dumps(obj, protocol) if Nests.depth < 4 else b"end"
                return bytes, (inner,)

        obj = [shared, Nests(), shared, (Nests(), shared)]
        return mod.dumps(obj, protocol)

    for protocol in PROTOCOLS:
        agree(run(ox, protocol), run(c, protocol), f"protocol {protocol}")


# --- gh-143638: one Unpickler, one load -------------------------------------------------------


CURRENT: dict[str, Any] = {}


def act(*args: Any) -> str:
    """Called from a stream: runs what the test put into CURRENT."""
    CURRENT["outcomes"].append(attempt(CURRENT["action"]))
    return "acted"


class Acts:
    """Runs the action of the test where its name says."""

    def __setstate__(self, state: Any) -> None:
        act()

    def __hash__(self) -> int:
        act()
        return 1

    def __eq__(self, other: object) -> bool:
        return self is other

    def append(self, item: Any) -> None:
        act()

    def extend(self, items: Any) -> None:
        act()

    def __setitem__(self, key: Any, value: Any) -> None:
        act()

    def add(self, item: Any) -> None:
        act()


class ActsNew:
    def __new__(cls, *args: Any, **kwargs: Any) -> ActsNew:
        act()
        return super().__new__(cls)


class ActsAttribute:
    def __setattr__(self, name: str, value: Any) -> None:
        act()
        super().__setattr__(name, value)


def name_of(obj: Any) -> bytes:
    return b"c" + __name__.encode() + b"\n" + obj.__name__.encode() + b"\n"


A = name_of(Acts) + b")\x81"
#: Streams that reach user code from the opcode of their name, with things on the stack and marks.
REACH = {
    "REDUCE": b"](K\x01K\x02e(" + name_of(act) + b")RK\x03t.",
    "NEWOBJ": b"(K\x01" + name_of(ActsNew) + b")\x81K\x02t.",
    "NEWOBJ_EX": b"\x80\x04(K\x01" + name_of(ActsNew) + b")}\x92K\x02t.",
    "OBJ": b"(K\x01(" + name_of(ActsNew) + b"K\x05oK\x02t.",
    "INST": b"(K\x01(i" + name_of(ActsNew)[1:] + b"K\x02t.",
    "BUILD": b"(K\x01" + A + b"K\x07bK\x02t.",
    "BUILD attributes": b"(" + name_of(ActsAttribute) + b")\x81N}X\x01\x00\x00\x00aK\x01s\x86bt.",
    "SETITEM key": b"(K\x01}" + A + b"K\x01sK\x02t.",
    "SETITEMS key": b"(K\x01}(" + A + b"K\x01" + A + b"K\x02uK\x02t.",
    "DICT key": b"(K\x01(" + A + b"K\x01dK\x02t.",
    "SETITEM": b"(K\x01" + A + b"K\x01K\x02sK\x02t.",
    "SETITEMS": b"(K\x01" + A + b"(K\x01K\x02K\x03K\x04uK\x02t.",
    "APPEND": b"(K\x01" + A + b"K\x01aK\x02t.",
    "APPENDS": b"(K\x01" + A + b"(K\x01K\x02eK\x02t.",
    "ADDITEMS": b"\x80\x04(K\x01\x8f(" + A + A + b"\x90K\x02t.",
    "ADDITEMS of another": b"\x80\x04(K\x01" + A + b"(K\x01K\x02\x90K\x02t.",
    "FROZENSET": b"\x80\x04(K\x01(" + A + A + b"\x91K\x02t.",
    "PERSID": b"(K\x01Pname\nK\x02t.",
    "BINPERSID": b"(K\x01K\x05QK\x02t.",
    "GLOBAL": b"(K\x01cbuiltins\nlen\nK\x02t.",
}


def load_inside(unpickler: Any) -> None:
    unpickler.load()


def init_unpickler_inside(unpickler: Any) -> None:
    unpickler.__init__(io.BytesIO(b"N."))


def init_unpickler_failing_inside(unpickler: Any) -> None:
    unpickler.__init__(object())


NESTED_UNPICKLER = [load_inside, init_unpickler_inside, init_unpickler_failing_inside]


def run_unpickler(mod: Any, stream: bytes, action: Callable[[Any], Any]) -> Any:
    class Hooked(mod.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return act()

        def find_class(self, module: str, name: str) -> Any:
            if module == "builtins":
                act()
            return super().find_class(module, name)

    source = io.BytesIO(stream + b"K\x2a.")
    unpickler = Hooked(source)
    CURRENT.update(outcomes=[], action=lambda: action(unpickler))
    result = attempt(unpickler.load)
    after = attempt(unpickler.load)
    return result, CURRENT["outcomes"], after


def shape(value: Any) -> Any:
    """The types in a loaded value: its instances have no equality of their own."""
    if isinstance(value, (list, tuple)):
        return type(value), [shape(item) for item in value]
    if isinstance(value, (dict, set, frozenset)):
        return type(value), len(value)
    if isinstance(value, (Acts, ActsNew, ActsAttribute)):
        return type(value)
    return value


@pytest.mark.parametrize("nested", NESTED_UNPICKLER)
@pytest.mark.parametrize("name", REACH)
def test_gh_143638_unpickler_in_user_code(name: str, nested: Callable[[Any], None]) -> None:
    """gh-143638, gh-143639: wherever loading runs user code, coming back is refused and harms nothing."""
    stream = REACH[name]
    result, outcomes, after = run_unpickler(ox, stream, nested)
    assert outcomes and all(is_refusal(outcome, UNPICKLER_USED) for outcome in outcomes)
    assert not isinstance(result, Raised), result
    assert after == 42
    harmless = run_unpickler(c, stream, lambda unpickler: None)
    agree(shape(result), shape(harmless[0]))
    assert len(outcomes) == len(harmless[1])
    if C_REFUSES_REENTRY:
        theirs = run_unpickler(c, stream, nested)
        agree((shape(result), outcomes, after), (shape(theirs[0]), *theirs[1:]))


@pytest.mark.parametrize("name", REACH)
def test_free_use_while_a_load_is_running(name: str) -> None:
    """The memo and find_class stay usable inside, with effect at once."""

    def set_memo(unpickler: Any) -> Any:
        unpickler.memo = {0: "set", 7: "far"}
        return dict(unpickler.memo.copy())

    def same_memo(unpickler: Any) -> Any:
        unpickler.memo = unpickler.memo
        return len(unpickler.memo.copy())

    def clear(unpickler: Any) -> Any:
        unpickler.memo.clear()
        return unpickler.memo.copy()

    def find(unpickler: Any) -> Any:
        return unpickler.find_class("collections", "OrderedDict")

    def sizeof(unpickler: Any) -> Any:
        return unpickler.__sizeof__() > 0

    stream = b"K\x05q\x000" + REACH[name][:-1] + b"0h\x00."
    if REACH[name].startswith(b"\x80"):
        stream = REACH[name][:2] + b"K\x05q\x000" + REACH[name][2:-1] + b"0h\x00."
    for action in (set_memo, same_memo, clear, find, sizeof):
        ours, theirs = (run_unpickler(mod, stream, action) for mod in (ox, c))
        agree((shape(ours[0]), *ours[1:]), (shape(theirs[0]), *theirs[1:]), action.__name__)


@pytest.mark.parametrize("method", ["read", "readline", "readinto", "peek"])
@pytest.mark.parametrize("nested", NESTED_UNPICKLER)
def test_gh_143638_unpickler_in_its_file(method: str, nested: Callable[[Any], None]) -> None:
    refusals: list[Any] = []

    class Source:
        def __init__(self) -> None:
            self.inner = io.BufferedReader(io.BytesIO(b"]\x94(cbuiltins\nlen\nC\x04data\x94e."))

    def forward(name: str) -> Callable[..., Any]:
        def call(self: Source, *args: Any) -> Any:
            if name == method:
                refusals.append(attempt(nested, unpickler))
            return getattr(self.inner, name)(*args)

        return call

    names = ["read", "readline"] + ([method] if method in ("readinto", "peek") else [])
    for name in names:
        setattr(Source, name, forward(name))
    unpickler = ox.Unpickler(Source())
    assert unpickler.load() == [len, b"data"]
    # readinto is used for large payloads only
    assert refusals or method == "readinto"
    assert all(is_refusal(outcome, UNPICKLER_USED) for outcome in refusals)


def test_loads_inside_loads() -> None:
    def nest() -> Any:
        return ox.loads(REACH["NEWOBJ"]) if len(CURRENT["outcomes"]) < 1 else None

    for name, stream in REACH.items():
        if "PERSID" in name or name == "GLOBAL":
            continue
        CURRENT.update(outcomes=[], action=nest)
        assert isinstance(ox.loads(stream), tuple), name


# --- named crashes ----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_gh_140651_items_of_a_reduce_value_live_as_long_as_needed(protocol: int) -> None:
    """The issue: a tuple's item that nothing else holds dies while it is saved.

    Its cause was a reducer in C; in Python, the reduce value is the only owner of all its parts, and
    each part drops the others when it is saved.
    """

    def run(mod: Any) -> Any:
        parts: list[Any] = []

        class Part:
            def __init__(self, number: int) -> None:
                self.number = number

            def __reduce__(self) -> Any:
                parts.clear()
                return int, (9223372036854775000 + self.number,)

        class Owner:
            def __reduce__(self) -> Any:
                parts.extend(Part(i) for i in range(5))
                value = (types.SimpleNamespace, (), {"p": tuple(parts)}, iter([parts[0]]))
                return value

        return mod.dumps([Owner(), (Part(7), Part(8), Part(9), 9223372036854775807)], protocol)

    agree(run(ox), run(c))


def test_gh_140651_sched_param() -> None:
    """The issue's own program, with a priority that no reference is miscounted for."""
    os = pytest.importorskip("posix", reason="sched_param exists on POSIX systems only")
    if not hasattr(os, "sched_param"):
        pytest.skip("this system has no sched_param")
    param = os.sched_param(1)
    for protocol in PROTOCOLS:
        agree(attempt(ox.dumps, param, protocol), attempt(c.dumps, param, protocol))
    stream = ox.dumps(param, 4)
    agree(attempt(ox.loads, stream), attempt(c.loads, stream))


class FalseRelease:
    """A buffer_callback's answer whose truth releases the buffer in question."""

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer

    def __bool__(self) -> bool:
        self.buffer.release()
        return self.in_band

    in_band = True


@pytest.mark.parametrize("in_band", [False, True])
@pytest.mark.parametrize("size", [0, 5, 300, 100_000])
@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("kind", ["ours", "core"])
def test_gh_143308_released_by_the_truth_of_the_callback(
    kind: str, readonly: bool, size: int, in_band: bool
) -> None:
    """The view is not used after the callback has released it."""

    def run(mod: Any, buffer_type: Any) -> Any:
        data: Any = b"x" * size if readonly else bytearray(b"x" * size)

        def on_buffer(buffer: Any) -> Any:
            answer = FalseRelease(buffer)
            answer.in_band = in_band
            return answer

        obj = [buffer_type(data)]
        return attempt(mod.dumps, obj, 5, buffer_callback=on_buffer)

    ours = run(ox, ox.PickleBuffer if kind == "ours" else c.PickleBuffer)
    if in_band:
        # Some patch releases crash here, others write what they still hold.
        if isinstance(ours, Raised):
            assert ours.type in (ValueError, c.PicklingError)
        else:
            assert ox.loads(ours) == [b"x" * size]
    else:
        agree(ours, run(c, c.PickleBuffer))


def test_gh_151046_the_view_that_readinto_gets_may_be_kept() -> None:
    """Reading and writing it later touches no freed memory; the loaded payload does not change."""
    views: list[Any] = []
    payload = bytes(range(256)) * 1024

    class Keeps:
        def __init__(self, stream: bytes) -> None:
            self.inner = io.BytesIO(stream)
            self.read = self.inner.read
            self.readline = self.inner.readline

        def readinto(self, view: Any) -> int:
            views.append(view)
            return self.inner.readinto(view)

    for make in (bytes, bytearray):
        views.clear()
        value = make(payload)
        loaded = ox.load(Keeps(ox.dumps(value, 5)))
        assert loaded == payload and type(loaded) is make
        assert views
        for view in views:
            try:
                held = bytes(view)
                view[:] = b"\0" * len(view)
            except (ValueError, TypeError):
                continue  # released, or not to be written: both are safe
            assert len(held) == len(view)
        if make is bytes:
            assert loaded == payload, "a bytes object was changed"


def test_gh_151046_a_view_is_kept_by_a_load_that_fails() -> None:
    views: list[Any] = []

    class Fails:
        def __init__(self) -> None:
            self.inner = io.BytesIO(b"\x80\x05\x8e" + (1 << 20).to_bytes(8, "little"))
            self.read = self.inner.read
            self.readline = self.inner.readline

        def readinto(self, view: Any) -> int:
            views.append(view)
            raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        ox.load(Fails())
    for view in views:
        outcome = attempt(bytes, view)
        assert isinstance(outcome, (bytes, Raised))


@pytest.mark.parametrize(
    "operands",
    [
        b"cbuiltins\nint\nK\x01}",  # args are no tuple
        b"cbuiltins\nint\n)K\x01",  # kwargs are no dict
        b"cbuiltins\nint\n)N",
        b"cbuiltins\nint\nN}",
        b"K\x01)}",  # no class
        b"cbuiltins\nlen\n)}",
        b"cbuiltins\nint\n)}K\x01K\x01s",  # a key is no string
        b"cbuiltins\nint\n)}X\x01\x00\x00\x00aK\x01s",
        b"ctypes\nGeneratorType\n)}",  # a class without __new__
    ],
)
def test_gh_85460_newobj_ex_with_wrong_operands(operands: bytes) -> None:
    stream = b"\x80\x04" + operands + b"\x92."
    ours = attempt(ox.loads, stream)
    assert isinstance(ours, Raised)
    agree(ours, attempt(c.loads, stream))


MALFORMED = [
    b"",
    b".",
    b"(.",
    b"(",
    b"0.",
    b"1.",
    b"2.",
    b"a.",
    b"]a.",
    b"e.",
    b"(e.",
    b"s.",
    b"}s.",
    b"}Ns.",
    b"(Nd.",
    b"(NNu.",
    b"b.",
    b"Nb.",
    b"R.",
    b"NR.",
    b"NNR.",
    b"o.",
    b"(o.",
    b"\x81.",
    b"N\x81.",
    b"NN\x81.",
    b"\x80\x04\x90.",
    b"\x80\x04(\x90.",
    b"\x80\x04N(N\x90.",
    b"\x80\x04\x93.",
    b"\x80\x04NN\x93.",
    b"\x80\x04\x94.",
    b"\x85.",
    b"\x86.",
    b"\x87.",
    b"h\x01.",
    b"gabc\n.",
    b"g-1\n.",
    b"q\x00.",
    b"p-1\n.",
    b"\x80\xff.",
    b"\x82\x00.",
    b"\x82\x01.",
    b"\x95\x01\x00\x00\x00\x00\x00\x00\x00.",
    b"\x97.",
    b"\x98.",
    b"N\x98.",
    b"I\n.",
    b"Ixyz\n.",
    b"F1..\n.",
    b"Lxyz\n.",
    b"S'\n.",
    b"Sabc\n.",
    b"Vab\\u12\n.",
    b"ios\n.",
    b"cos\n.",
    b"cos\nno_such_name\n.",
    b"cno_such_module\nx\n.",
    b"\x8a\xff.",
    b"\x8b\xff\xff\xff\xff.",
    b"U\xff.",
    b"X\xff\x00\x00\x00.",
    b"K.",
    b"M\x01.",
    b"J\x01.",
    b"G\x00.",
    b"P\n.",
    b"Q.",
    b"NQ.",
    b"(t(0t.",
    b"((11.",
    b"(l(d}(u.",
]


@pytest.mark.parametrize("stream", MALFORMED, ids=repr)
def test_gh_85631_gh_87064_gh_141749_malformed_input(stream: bytes) -> None:
    """No SystemError, no crash, no IndexError or KeyError of an implementation: what C raises."""

    def run(mod: Any) -> Any:
        return attempt(mod.loads, stream), attempt(mod.load, io.BytesIO(stream))

    ours, theirs = run(ox), run(c)
    for mine, other in zip(ours, theirs):
        if isinstance(mine, Raised):
            assert mine.type not in (SystemError, IndexError, MemoryError)
            assert isinstance(other, Raised) and mine.type is other.type, (mine, other)
        else:
            agree(mine, other)


def test_gh_126461_a_file_that_is_a_mock() -> None:
    """`load(MagicMock())` raised SystemError: an exception was left set in a call."""
    from unittest.mock import MagicMock

    outcome = attempt(ox.load, MagicMock())
    assert isinstance(outcome, Raised) and outcome.type is not SystemError


def test_gh_89850_super_in_a_hook() -> None:
    """`super().persistent_id` and `super().persistent_load` do not recurse endlessly."""

    def run(mod: Any) -> Any:
        class P(mod.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                return super().persistent_id(obj)

        class U(mod.Unpickler):
            def persistent_load(self, pid: Any) -> Any:
                return super().persistent_load(pid)

        out = io.BytesIO()
        first = attempt(P(out).dump, [1])
        second = attempt(U(io.BytesIO(b"K\x01Q.")).load)
        return first, out.getvalue(), second

    # Before 3.13 this recurses, in both, and ends in RecursionError.
    agree(run(ox), run(c))


# --- containers that change while they are saved ----------------------------------------------


class Grow:
    """Runs *action* once when it is reduced."""

    def __init__(self) -> None:
        self.action: Callable[[], Any] = lambda: None

    def __reduce__(self) -> Any:
        action, self.action = self.action, lambda: None
        action()
        return str, ("x",)


def grow_list(extra: int, at: int, action: Callable[[list[Any], Grow], Any]) -> Any:
    def make() -> Any:
        trigger = Grow()
        obj: list[Any] = [["before"] for _ in range(at)] + [trigger]
        obj += [["after", i] for i in range(extra)]
        trigger.action = lambda: action(obj, trigger)
        return obj

    return make


def drop_after(obj: list[Any], trigger: Grow) -> None:
    del obj[obj.index(trigger) + 1 :]


def replace_all(obj: list[Any], trigger: Grow) -> None:
    obj[:] = [[i] for i in range(len(obj))]


LIST_ACTIONS: dict[str, Callable[[list[Any], Grow], Any]] = {
    "append": lambda obj, trigger: obj.append(["new"]),
    "extend": lambda obj, trigger: obj.extend([i] for i in range(3000)),
    "pop": lambda obj, trigger: obj.pop(),
    "clear": lambda obj, trigger: obj.clear(),
    "drop": drop_after,
    "replace": replace_all,
    "reverse": lambda obj, trigger: obj.reverse(),
    "insert first": lambda obj, trigger: obj.insert(0, ["first"]),
}


@pytest.mark.parametrize("action", LIST_ACTIONS)
@pytest.mark.parametrize(
    "extra,at", [(0, 0), (1, 0), (0, 1), (3, 2), (1000, 0), (0, 999), (5, 1998)]
)
def test_gh_149816_list_changed_while_it_is_saved(action: str, extra: int, at: int) -> None:
    make = grow_list(extra, at, LIST_ACTIONS[action])
    for protocol in PROTOCOLS:
        ours = attempt(ox.dumps, make(), protocol)
        theirs = attempt(c.dumps, make(), protocol)
        agree(ours, theirs, f"protocol {protocol}")


def change_dict(size: int, at: int, action: Callable[[dict[Any, Any]], Any]) -> Any:
    def make() -> Any:
        trigger = Grow()
        obj: dict[Any, Any] = {i: [i] for i in range(size)}
        obj[at] = trigger
        trigger.action = lambda: action(obj)
        return obj

    return make


def pop_insert(obj: dict[Any, Any]) -> None:
    obj.pop(0)
    obj["new"] = ["new"]


def replace_values(obj: dict[Any, Any]) -> None:
    for key in obj:
        obj[key] = ["replaced", key]


DICT_ACTIONS: dict[str, Callable[[dict[Any, Any]], Any]] = {
    "add": lambda obj: obj.update(new=["new"]),
    "add many": lambda obj: obj.update((("new", i), [i]) for i in range(3000)),
    "pop last": lambda obj: obj.popitem(),
    "pop first": lambda obj: obj.pop(0),
    "clear": lambda obj: obj.clear(),
    "replace values": replace_values,
    "pop and insert": pop_insert,
}


@pytest.mark.parametrize("action", DICT_ACTIONS)
@pytest.mark.parametrize("size,at", [(1, 0), (2, 0), (2, 1), (5, 2), (1000, 0), (1001, 1000)])
def test_dict_changed_while_it_is_saved(action: str, size: int, at: int) -> None:
    make = change_dict(size, at, DICT_ACTIONS[action])
    for protocol in PROTOCOLS:
        agree(
            attempt(ox.dumps, make(), protocol),
            attempt(c.dumps, make(), protocol),
            f"protocol {protocol}",
        )


@pytest.mark.parametrize("frozen_inside", [False, True])
@pytest.mark.parametrize("action", ["add", "clear", "pop"])
def test_set_changed_while_it_is_saved(action: str, frozen_inside: bool) -> None:
    def make() -> Any:
        trigger = Grow()
        obj: set[Any] = {trigger}
        actions: dict[str, Callable[[], Any]] = {
            "add": lambda: obj.add("new"),
            "clear": obj.clear,
            "pop": obj.pop,
        }
        trigger.action = actions[action]
        return [frozenset([1]), obj] if frozen_inside else obj

    for protocol in PROTOCOLS:
        agree(
            attempt(ox.dumps, make(), protocol),
            attempt(c.dumps, make(), protocol),
            f"protocol {protocol}",
        )


class Holder:
    pass


ATTRIBUTE_ACTIONS: dict[str, Callable[[Holder], Any]] = {
    "add": lambda obj: setattr(obj, "new", ["new"]),
    "delete first": lambda obj: delattr(obj, "a"),
    "delete last": lambda obj: delattr(obj, "z"),
    "replace": lambda obj: setattr(obj, "z", ["replaced"]),
    "new dict": lambda obj: setattr(obj, "__dict__", {"other": 1}),
    "clear": lambda obj: obj.__dict__.clear(),
    "new class": lambda obj: setattr(obj, "__class__", OtherHolder),
}


class OtherHolder(Holder):
    pass


@pytest.mark.parametrize("action", ATTRIBUTE_ACTIONS)
def test_instance_changed_while_it_is_saved(action: str) -> None:
    """The attributes may be stored in the object itself, and turn into a dict under our hands."""

    def make() -> Any:
        obj: Any = Holder()
        trigger = Grow()
        obj.a = ["a"]
        obj.b = trigger
        obj.z = ["z"]
        trigger.action = lambda: ATTRIBUTE_ACTIONS[action](obj)
        return obj

    for protocol in PROTOCOLS:
        for wrap in (lambda obj: obj, lambda obj: [obj, obj], lambda obj: {"k": (obj,)}):
            agree(
                attempt(ox.dumps, wrap(make()), protocol),
                attempt(c.dumps, wrap(make()), protocol),
                f"protocol {protocol}",
            )


def test_objects_freed_by_a_reducer_while_they_are_saved() -> None:
    """Everything below what is being saved loses its last other reference in the middle."""

    class Frees:
        def __init__(self, holder: list[Any]) -> None:
            self.holder = holder

        def __reduce__(self) -> Any:
            self.holder.clear()
            [[i] for i in range(100)]  # what the allocator gave back is used again
            return list, ()

    def make() -> Any:
        holder: list[Any] = []
        inner = [["deep", {"k": ("t", ["x"])}], Frees(holder), ["later"], {"later": [1]}]
        holder.append(inner)
        holder.append({"second": inner})
        return holder

    for protocol in PROTOCOLS:
        agree(
            attempt(ox.dumps, make(), protocol),
            attempt(c.dumps, make(), protocol),
            f"protocol {protocol}",
        )


def test_registries_changed_by_a_reducer() -> None:
    """gh-157119, gh-157125 from one thread: the reducer that runs is taken out of its table."""

    class Target:
        pass

    def run(mod: Any, protocol: int) -> Any:
        def reduce(obj: Any) -> Any:
            copyreg.dispatch_table.pop(Target, None)
            return str, ("reduced",)

        copyreg.dispatch_table[Target] = reduce
        del reduce
        try:
            return mod.dumps([Target(), "between"], protocol)
        finally:
            copyreg.dispatch_table.pop(Target, None)

    for protocol in PROTOCOLS:
        agree(run(ox, protocol), run(c, protocol), f"protocol {protocol}")


def test_private_dispatch_table_replaced_by_its_reducer() -> None:
    class Target:
        pass

    def run(mod: Any, protocol: int) -> Any:
        out = io.BytesIO()
        pickler = mod.Pickler(out, protocol)

        def reduce(obj: Any) -> Any:
            pickler.dispatch_table = {Target: lambda obj: (str, ("second",))}
            return str, ("first",)

        pickler.dispatch_table = {Target: reduce}
        del reduce
        pickler.dump([Target(), Target()])
        return out.getvalue()

    for protocol in PROTOCOLS:
        agree(run(ox, protocol), run(c, protocol), f"protocol {protocol}")


def test_the_file_is_let_go_while_it_is_written_to() -> None:
    """A write that makes the Pickler forget its file, and a Pickler that dies in its own write."""
    code = """
    import gc, io
    from support import ox

    class Out:
        def __init__(self):
            self.data = b""
        def write(self, data):
            self.__dict__.pop("pickler", None)
            gc.collect()
            self.data += bytes(data)

    out = Out()
    out.pickler = ox.Pickler(out, 5)
    out.pickler.dump([b"x" * 100_000, "y" * 100_000, [1, 2]])
    assert ox.loads(out.data) == [b"x" * 100_000, "y" * 100_000, [1, 2]]
    print("ok")
    """
    assert child_ok(code).strip() == "ok"


def test_same_error_is_strict() -> None:
    """The comparison that this file rests on tells refusals apart."""
    one = attempt(init_failing_inside, ox.Pickler(io.BytesIO()))
    assert not same_error(one, attempt(int, "x"))
    assert not is_refusal(one, PICKLER_USED)
