"""Attributes of Pickler and Unpickler: members, hooks, memo proxies, the module's contents.

Each story is a list of steps run on one object of ours and one of C's; every step must end alike.
"""

from __future__ import annotations

import collections
import copyreg
import gc
import inspect
import io
import subprocess
import sys
import sysconfig
import types
from typing import Any

import pytest

from corpus import Node, Plain, build
from support import (
    C_CLEAR_RESETS,
    C_HOOKS_READ_ONLY,
    PROTOCOLS,
    PY,
    Raised,
    agree,
    attempt,
    c,
    ox,
)

NAMES = (
    "PickleBuffer PickleError Pickler PicklingError Unpickler UnpicklingError dump dumps load loads"
)


# --- the module ---------------------------------------------------------------------------------------


def test_the_ten_names_and_one_for_activation() -> None:
    ours = [name for name in dir(ox) if not name.startswith("__")]
    assert ours == sorted([*NAMES.split(), "_serve_also"])
    assert isinstance(ox.__doc__, str) and ox.__doc__
    assert [name for name in dir(c) if not name.startswith("__")] == NAMES.split()


@pytest.mark.parametrize("name", ["dump", "dumps", "load", "loads"])
def test_functions_are_true_built_ins(name: str) -> None:
    ours, theirs = getattr(ox, name), getattr(c, name)
    assert type(ours) is type(theirs) is types.BuiltinFunctionType
    assert ours.__name__ == ours.__qualname__ == name
    assert "".join(ours.__text_signature__.split()) == "".join(theirs.__text_signature__.split())
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert not hasattr(ours, "__get__"), "they must not bind as methods"
    holder = type("Holder", (), {name: ours})
    assert getattr(holder(), name) is ours


@pytest.mark.parametrize("name", ["Pickler", "Unpickler"])
def test_the_classes(name: str) -> None:
    ours, theirs = getattr(ox, name), getattr(c, name)
    assert ours.__name__ == ours.__qualname__ == name
    assert "".join((ours.__text_signature__ or "").split()) == "".join(
        (theirs.__text_signature__ or "").split()
    )
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert ours.__base__ is object
    # what C has, ours has, by the same kind of member where it is visible
    assert {n for n in vars(theirs) if not n.startswith("__")} == {
        n for n in vars(ours) if not n.startswith("__")
    }
    obj = ours(io.BytesIO(b"N."))
    assert gc.is_tracked(obj)
    assert not hasattr(obj, "__dict__")
    agree(attempt(setattr, ours, "foo", 1).type, attempt(setattr, theirs, "foo", 1).type)
    __import__("weakref").ref(type("Sub", (ours,), {})(io.BytesIO(b"N.")))


@pytest.mark.skipif(PY < (3, 12), reason="C's types are static in 3.11: the text differs")
@pytest.mark.parametrize("name", ["Pickler", "Unpickler"])
def test_the_types_are_immutable(name: str) -> None:
    for member in ("foo", "memo", "__init__"):
        outcome = attempt(setattr, getattr(ox, name), member, 1)
        assert outcome.type is TypeError
        assert "immutable" in outcome.text


@pytest.mark.parametrize("base", ["Pickler", "Unpickler"])
def test_method_signatures(base: str) -> None:
    for name, member in vars(getattr(c, base)).items():
        signature = attempt(inspect.signature, member)
        if isinstance(signature, Raised) or name in ("__new__", "__init__"):
            continue
        ours = vars(getattr(ox, base))[name] if name in vars(getattr(ox, base)) else None
        if ours is not None and not name.startswith("__"):
            assert str(inspect.signature(ours)) == str(signature), name


# --- stories ------------------------------------------------------------------------------------------


def get(name: str) -> Any:
    return lambda o: getattr(o, name)


def put(name: str, value: Any) -> Any:
    return lambda o: setattr(o, name, value)


def remove(name: str) -> Any:
    return lambda o: delattr(o, name)


def plain(value: Any) -> Any:
    """What two implementations can agree on: bound methods and proxies become their type's name."""
    if isinstance(value, Raised) or value is None or isinstance(value, (int, str, dict, list)):
        return value
    # 3.14 makes the bound form of some hooks with another internal type
    return type(value).__name__.replace("builtin_method", "builtin_function_or_method")


def story(make: Any, steps: list[Any]) -> None:
    ours, theirs = make(ox), make(c)
    for number, step in enumerate(steps):
        agree(plain(attempt(step, ours)), plain(attempt(step, theirs)), f"step {number}")


def pickler(mod: Any) -> Any:
    return mod.Pickler(io.BytesIO(), 2)


def unpickler(mod: Any) -> Any:
    return mod.Unpickler(io.BytesIO(b"K\x05\x94.K\x06\x94.h\x00."))


@pytest.mark.parametrize("name", ["bin", "fast"])
def test_int_members(name: str) -> None:
    values = [0, 1, 2, -1, True, False, 2**31 - 1, 2**31, -(2**31), 2**32 + 5, 2**63 - 1, 2**63]
    values += ["x", None, 1.5, -(2**70), type("I", (), {"__index__": lambda self: 7})()]
    steps = [get(name)]
    for value in values:
        steps += [put(name, value), get(name)]
    story(pickler, [*steps, remove(name), get(name)])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_members_at_the_start(protocol: int) -> None:
    for mod in (ox, c):
        obj = mod.Pickler(io.BytesIO(), protocol)
        assert (obj.bin, obj.fast) == (int(protocol > 0), 0)


def test_dispatch_table_member() -> None:
    story(
        pickler,
        [
            get("dispatch_table"),
            remove("dispatch_table"),
            put("dispatch_table", {1: 2}),
            get("dispatch_table"),
            remove("dispatch_table"),
            remove("dispatch_table"),
            get("dispatch_table"),
            put("dispatch_table", None),
            get("dispatch_table"),
            put("dispatch_table", 5),
            get("dispatch_table"),
        ],
    )


@pytest.mark.skipif(C_HOOKS_READ_ONLY, reason="3.13.0 alone words it so; we follow 3.13.1")
@pytest.mark.parametrize("base", ["Pickler", "Unpickler"])
def test_unknown_attributes(base: str) -> None:
    make = pickler if base == "Pickler" else unpickler
    steps = [get("nope"), put("nope", 1), remove("nope"), get("__dict__"), get("reducer_override")]
    steps += [
        put("reducer_override", 1),
        put("find_class", 1),
        remove("find_class"),
        put("load", 1),
    ]
    steps += [put("dump", 1), remove("dump"), put("clear_memo", 1), put("memo", 5), remove("memo")]
    story(make, steps)


HOOK_STEPS = {
    "get": lambda n: [get(n)],
    "set and get": lambda n: [put(n, print), get(n), remove(n), get(n), remove(n)],
    "set an int": lambda n: [put(n, 5), get(n)],
    "set None": lambda n: [put(n, None), get(n)],
    "delete first": lambda n: [remove(n), get(n)],
    "set twice": lambda n: [put(n, print), put(n, len), get(n)],
    "set and use": lambda n: [
        put(n, lambda o: "pid"),
        lambda o: o.dump(1) if n[-2:] == "id" else o.load(),
    ],
    "set an int and use": lambda n: [
        put(n, 5),
        lambda o: o.dump(1) if n[-2:] == "id" else o.load(),
    ],
    "init again": lambda n: [put(n, print), lambda o: o.__init__(io.BytesIO(b"N.")), get(n)],
}


@pytest.mark.skipif(C_HOOKS_READ_ONLY, reason="3.13.0 alone forbids it; we follow 3.13.1")
@pytest.mark.parametrize("name", ["persistent_id", "persistent_load"])
@pytest.mark.parametrize("steps", HOOK_STEPS)
@pytest.mark.parametrize("kind", ["base", "subclass", "subclass with method"])
def test_hooks_as_attributes(name: str, steps: str, kind: str) -> None:
    base = "Pickler" if name == "persistent_id" else "Unpickler"

    def make(mod: Any) -> Any:
        cls = getattr(mod, base)
        if kind == "subclass":
            cls = type("Sub", (cls,), {})
        elif kind == "subclass with method":
            cls = type("Sub", (cls,), {name: lambda self, o: None})
        return cls(io.BytesIO(b"Pabc\n."))

    story(make, HOOK_STEPS[steps](name))


@pytest.mark.skipif(PY < (3, 13), reason="an attribute without default before 3.13")
def test_the_default_hooks_can_be_called() -> None:
    for mod in (ox, c):
        assert mod.Pickler(io.BytesIO()).persistent_id(1) is None
    agree(
        attempt(ox.Unpickler(io.BytesIO()).persistent_load, 1),
        attempt(c.Unpickler(io.BytesIO()).persistent_load, 1),
    )


@pytest.mark.skipif(PY < (3, 13) or C_HOOKS_READ_ONLY, reason="settable per instance from 3.13.1")
def test_an_instance_hook_counts_from_the_next_call() -> None:
    """Looked up when a dump or load starts, kept for it, dropped at its end."""

    def run(mod: Any) -> Any:
        out = io.BytesIO()
        obj = mod.Pickler(out, 2)

        def second(value: Any) -> Any:
            return "second" if value == "x" else None

        def first(value: Any) -> Any:
            obj.persistent_id = second
            return "first" if value == "x" else None

        obj.persistent_id = first
        obj.dump(["x", "x"])
        obj.dump(["x"])
        del obj.persistent_id
        obj.dump(["x"])
        return out.getvalue()

    agree(run(ox), run(c))


def test_an_instance_hook_leaves_no_cycle(collected: None) -> None:
    """A bound method of the same object must not keep it alive after a dump or load."""
    weakref = __import__("weakref")
    for method in (True, False):

        class P(ox.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                return None

        class U(ox.Unpickler):
            def persistent_load(self, pid: Any) -> Any:
                return pid

        one, two = P(io.BytesIO()), U(io.BytesIO(b"Pabc\n."))
        if not method:
            one.persistent_id, two.persistent_load = (lambda o: None), (lambda p: p)
        one.dump([1, 2])
        assert two.load() == "abc"
        refs = weakref.ref(one), weakref.ref(two)
        del one, two
        assert [ref() for ref in refs] == [None, None]


# --- memo ----------------------------------------------------------------------------------------------


def test_pickler_memo_proxy() -> None:
    shared = ["x"]
    values = [{1: (0, shared)}, {1: (5, shared), 2: (6, "y")}, {}, {1: 2}, {1: (1,)}, {1: ("a", 2)}]
    values += [{1: (0, 1, 2)}, {1: [0, 1]}, {1: (2**70, 1)}, {1: (-5, shared)}, 5, None, [], "x"]
    values += [collections.OrderedDict({1: (0, shared)}), {1: (True, shared)}, {1: (1.0, shared)}]
    steps = [get("memo"), lambda o: o.memo.copy()]
    for value in values:
        steps += [put("memo", value), lambda o: sorted(i for i, _ in o.memo.copy().values())]
        steps += [lambda o: o.dump([shared, "end"])]
    steps += [lambda o: o.memo.clear(), lambda o: o.memo.copy(), remove("memo")]
    steps += [lambda o: hash(o.memo), lambda o: len(o.memo), lambda o: o.memo.nope]
    steps += [lambda o: o.memo.clear(1), lambda o: o.memo.copy(1), lambda o: o.memo is o.memo]
    story(pickler, steps)
    for mod in (ox, c):
        obj = mod.Pickler(out := io.BytesIO(), 2)
        obj.memo = {7: (300, shared)}
        assert obj.memo.copy() == {id(shared): (300, shared)}
        obj.dump(shared)
        assert out.getvalue() == b"\x80\x02j\x2c\x01\x00\x00."


def test_unpickler_memo_proxy() -> None:
    values = [
        {},
        {0: "x"},
        {5: "x"},
        {"a": 1},
        {-1: 1},
        {2**70: 1},
        {1.0: 1},
        {True: 1},
        5,
        None,
        [],
    ]
    values += [collections.OrderedDict({0: 1})]
    start = [get("memo"), lambda o: o.memo.copy(), lambda o: o.load(), lambda o: o.memo.copy()]
    # one object for each value: C writes outside its array when a second one follows an empty one
    for value in values:
        story(unpickler, [*start, put("memo", value), lambda o: o.memo.copy()])
    steps = [
        remove("memo"),
        lambda o: hash(o.memo),
        lambda o: len(o.memo),
        lambda o: o.memo.clear(1),
    ]
    story(unpickler, [*steps, lambda o: o.memo.copy(1), lambda o: o.memo is o.memo])


def test_unpickler_memo_assigned_again_and_again() -> None:
    """Where C corrupts its heap, ours goes on."""
    obj = unpickler(ox)
    for value in ({}, {0: "x"}, {5: "x"}, {}, {0: 1}, {100: 1}):
        obj.memo = value
        obj.memo.copy()
    obj.memo = {}
    assert obj.load() == 5
    assert 5 in obj.memo.copy().values()


def test_a_memo_from_another_object() -> None:
    def run(mod: Any) -> Any:
        shared = ["x"]
        first, second = mod.Pickler(io.BytesIO(), 2), mod.Pickler(out := io.BytesIO(), 2)
        first.dump(shared)
        second.memo = first.memo
        first.memo.clear()
        second.dump(shared)
        one, two = unpickler(mod), mod.Unpickler(io.BytesIO(b"h\x00.K\x09\x94.h\x00.h\x01."))
        one.load()
        two.memo = one.memo
        rest = [attempt(two.load) for _ in range(4)]
        wrong = [
            attempt(setattr, first, "memo", one.memo),
            attempt(setattr, one, "memo", first.memo),
            attempt(
                setattr, first, "memo", c.Pickler(io.BytesIO()).memo if mod is c else first.memo
            ),
        ]
        return [out.getvalue(), *rest, two.memo.copy(), *wrong]

    for number, (mine, other) in enumerate(zip(run(ox), run(c))):
        agree(mine, other, f"step {number}")


def test_proxies_are_views_and_pickle_as_dicts() -> None:
    for mod in (ox, c):
        obj = pickler(mod)
        before = obj.memo
        obj.dump(["x"])
        assert len(before.copy()) == 2
        assert before.__reduce__()[0] is dict
        copied = c.loads(c.dumps(before, 2))
        assert sorted(index for index, _ in copied.values()) == [0, 1]
        reader = unpickler(mod)
        view = reader.memo
        reader.load()
        assert view.copy() == {0: 5}
        assert view.__reduce__() == (dict, ({0: 5},))
        assert c.loads(c.dumps(view, 4)) == {0: 5}


def test_a_proxy_keeps_its_pickler_alive() -> None:
    for mod in (ox, c):
        view = (lambda obj: (obj.dump(["x"]), obj.memo)[1])(pickler(mod))
        gc.collect()
        assert len(view.copy()) == 2
        reader = (lambda obj: (obj.load(), obj.memo)[1])(unpickler(mod))
        gc.collect()
        assert reader.copy() == {0: 5}


def test_the_type_of_a_proxy() -> None:
    for make in (pickler, unpickler):
        ours, theirs = type(make(ox).memo), type(make(c).memo)
        assert ours.__name__ == theirs.__name__
        assert {n for n in vars(ours) if n[0] != "_"} == {n for n in vars(theirs) if n[0] != "_"}
        assert ours.__hash__ is None


def test_clear_memo() -> None:
    def run(mod: Any) -> Any:
        obj = mod.Pickler(out := io.BytesIO(), 4)
        value = ["x"]
        results = []
        for clear in (obj.clear_memo, obj.memo.clear, lambda: setattr(obj, "memo", {})):
            obj.dump(value)
            obj.dump(value)
            results.append(clear())
            obj.dump(value)
        return [out.getvalue(), results]

    for mine, other in zip(run(ox), run(c)):
        agree(mine, other)


@pytest.mark.parametrize("size", [0, 1, 3, 39, 40, 41, 1000, 70_000])
def test_a_memo_that_was_cleared_knows_nothing(size: int) -> None:
    """Its memory is used again, its entries are not: dumps after it are as the first, other objects too."""
    value = [str(i) for i in range(size)] * 2
    other: list[Any] = [[] for _ in range(size // 2)]
    got = []
    for mod in (ox, c):
        obj = mod.Pickler(out := io.BytesIO(), 4)
        parts = []
        for part in (value, other, value, other[::-1], value):
            out.seek(0)
            out.truncate()
            obj.dump(part)
            obj.dump(part)
            parts.append(out.getvalue())
            obj.clear_memo()
            assert obj.memo.copy() == {}
        got.append(parts)
    assert got[0] == got[1]
    assert got[0][0] == got[0][2] == got[0][4]


def test_a_finaliser_run_by_clear_memo_may_dump() -> None:
    """It finds the memo empty, and what it dumps is remembered."""
    seen = []

    class Finaliser(list[Any]):
        def __del__(self) -> None:
            seen.append(obj.memo.copy())
            obj.dump(kept)

    kept = ["kept"]
    obj = ox.Pickler(io.BytesIO(), 4)
    sys.modules["corpus"].Finaliser = Finaliser  # type: ignore[attr-defined]
    Finaliser.__module__, Finaliser.__qualname__ = "corpus", "Finaliser"
    obj.dump([Finaliser(), "x"])
    obj.clear_memo()
    del sys.modules["corpus"].Finaliser  # type: ignore[attr-defined]
    assert seen == [{}]
    assert {id(value) for _, value in obj.memo.copy().values()} == {id(kept), id(kept[0])}
    obj.clear_memo()
    assert obj.memo.copy() == {}


@pytest.mark.skipif(not C_CLEAR_RESETS, reason="the counter was not reset before 3.14.10 / 3.15.2")
def test_a_finaliser_run_by_clear_sees_an_empty_memo() -> None:
    for mod in (ox, c):
        seen: list[Any] = []

        class Finaliser:
            def __del__(self, seen: list[Any] = seen) -> None:
                seen.append(reader.memo.copy())

        sys.modules["corpus"].Finaliser = Finaliser  # type: ignore[attr-defined]
        reader = mod.Unpickler(io.BytesIO(b"ccorpus\nFinaliser\n)R\x940N."))
        reader.load()
        reader.memo.clear()
        del sys.modules["corpus"].Finaliser  # type: ignore[attr-defined]
        assert seen == [{}]


# --- __init__ again --------------------------------------------------------------------------------------


def test_init_again_starts_anew() -> None:
    def run(mod: Any) -> Any:
        obj = mod.Pickler(io.BytesIO(), 2)
        obj.fast, obj.bin = 1, 0
        obj.dispatch_table = {}
        obj.dump(value := ["x"])
        obj.__init__(out := io.BytesIO(), 4)
        state = [obj.fast, obj.bin, plain(attempt(lambda: obj.dispatch_table)), obj.memo.copy()]
        obj.dump(value)
        reader = unpickler(mod)
        reader.load()
        reader.__init__(io.BytesIO(b"K\x07\x94.h\x00."))
        again = [attempt(reader.load), attempt(reader.load)]
        return [*state, out.getvalue(), *again, reader.memo.copy()]

    for mine, other in zip(run(ox), run(c)):
        agree(mine, other)


def test_init_that_fails_again() -> None:
    def run(mod: Any) -> Any:
        obj, reader = pickler(mod), unpickler(mod)
        return [
            attempt(obj.__init__, None),
            attempt(obj.dump, 1),
            attempt(obj.__init__, io.BytesIO()),
            attempt(obj.dump, 1),
            attempt(reader.__init__, None),
            attempt(reader.load),
            attempt(reader.__init__, io.BytesIO(b"N."), bogus=1),
            attempt(reader.load),
            attempt(reader.__init__, io.BytesIO(b"N.")),
            attempt(reader.load),
        ]

    for number, (mine, other) in enumerate(zip(run(ox), run(c))):
        agree(mine, other, f"step {number}")


# --- look-ups ---------------------------------------------------------------------------------------------


def test_attributes_looked_up_on_a_subclass() -> None:
    """The same names, in the same order, at the same moments."""

    def log_of(mod: Any, base: str) -> list[Any]:
        log: list[Any] = []

        class Sub(getattr(mod, base)):
            def __getattribute__(self, name: str) -> Any:
                log.append(name)
                return super().__getattribute__(name)

        data = b"ccorpus\nPlain\n.ccorpus\nNode\n."
        obj = Sub(io.BytesIO(data))
        log.append("-- init")
        if base == "Pickler":
            obj_dump, obj_again = obj.dump, obj.dump
            obj_dump([1, Plain(a=1)])
            log.append("-- dump")
            obj_again([Node(1)])
        else:
            load = obj.load
            load()
            log.append("-- load")
            load()
        return log

    assert log_of(ox, "Pickler") == log_of(c, "Pickler")
    assert log_of(ox, "Unpickler") == log_of(c, "Unpickler")


def test_attributes_looked_up_on_what_is_dumped() -> None:
    from corpus import CountingMeta, GetAttrAll, OfCountingMeta

    def logs(mod: Any, protocol: int) -> Any:
        GetAttrAll.log.clear()
        CountingMeta.log.clear()
        mod.dumps([GetAttrAll(), OfCountingMeta(), OfCountingMeta], protocol)
        return list(GetAttrAll.log), list(CountingMeta.log)

    for protocol in PROTOCOLS:
        logs(c, protocol)  # `__slotnames__` is looked for once in the life of a class
        assert logs(ox, protocol) == logs(c, protocol), protocol


def test_attributes_looked_up_on_what_is_loaded() -> None:
    from corpus import GetAttrAll

    for protocol in PROTOCOLS:
        data = c.dumps(GetAttrAll(), protocol)
        logs = []
        for mod in (ox, c):
            GetAttrAll.log.clear()
            mod.loads(data)
            logs.append(list(GetAttrAll.log))
        assert logs[0] == logs[1], protocol


def test_attributes_looked_up_on_a_reduce_callable() -> None:
    class Callable:
        log: list[str] = []

        def __getattribute__(self, name: str) -> Any:
            Callable.log.append(name)
            return object.__getattribute__(self, name)

        def __call__(self) -> None: ...

        def __reduce_ex__(self, protocol: int) -> Any:
            return "build"

    from corpus import Reduces

    for protocol in PROTOCOLS:
        logs = []
        for mod in (ox, c):
            Callable.log.clear()
            attempt(mod.dumps, Reduces((Callable(), ())), protocol)
            logs.append(list(Callable.log))
        assert logs[0] == logs[1], protocol


# --- captured tables ----------------------------------------------------------------------------------------


def test_copyreg_tables_are_captured_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutating them counts, rebinding the module's names does not."""
    for mod in (ox, c):
        monkeypatch.setattr(copyreg, "dispatch_table", {Plain: lambda o: (build, ("rebound",))})
        assert b"rebound" not in mod.dumps(Plain(a=1))
        monkeypatch.undo()
        copyreg.dispatch_table[Plain] = lambda o: (build, ("mutated",))
        assert b"mutated" in mod.dumps(Plain(a=1))
        del copyreg.dispatch_table[Plain]


@pytest.mark.parametrize("base", ["Pickler", "Unpickler"])
def test_sizeof_tells_of_the_memo(base: str) -> None:
    """Larger by what the memo holds."""
    if base == "Pickler":
        obj = ox.Pickler(io.BytesIO(), 2)
        small = obj.__sizeof__()
        obj.dump([[i] for i in range(5000)])
    else:
        obj = ox.Unpickler(io.BytesIO(c.dumps([[i] for i in range(5000)], 2)))
        small = obj.__sizeof__()
        obj.load()
    large = obj.__sizeof__()
    assert large > small + 5000 * 8
    assert sys.getsizeof(obj) > obj.__sizeof__(), "with the header of a collected object"
    assert type(obj).__basicsize__ <= small


def test_picklers_cannot_be_pickled() -> None:
    for make in (pickler, unpickler):
        for protocol in PROTOCOLS:
            ours, theirs = attempt(c.dumps, make(ox), protocol), attempt(c.dumps, make(c), protocol)
            assert isinstance(ours, Raised) and ours.type is theirs.type


LOOK_UPS = """
import ctypes
import sys

# the place of tp_getattro in a type object (the layout of builds with the GIL)
OFFSET = 18 * ctypes.sizeof(ctypes.c_void_p)


def look_up(cls):
    return ctypes.c_void_p.from_address(id(cls) + OFFSET).value


before = type("Before", (), {})
import oxipickle._pickle

after = type("After", (), {})
assert look_up(before) == look_up(after) == look_up(object)
for cls in (oxipickle._pickle.Pickler, oxipickle._pickle.Unpickler):
    assert look_up(type("Sub", (cls,), {})) == look_up(cls), cls
"""


@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="another layout")
def test_classes_of_others_look_attributes_up_as_before() -> None:
    """Our own classes have a look-up of their own; `object` keeps its own, and so do later classes."""
    done = subprocess.run([sys.executable, "-c", LOOK_UPS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- member descriptors -------------------------------------------------------------------------------


def test_dispatch_table_is_a_member_descriptor() -> None:
    """loky asks for one to set the table below a class that has a `dispatch_table` of its own."""
    assert type(ox.Pickler.dispatch_table) is type(c.Pickler.dispatch_table)
    assert ox.Pickler.dispatch_table.__objclass__ is ox.Pickler
    results = []
    for module in (ox, c):
        tables = []

        class Between(module.Pickler):
            dispatch_table = collections.ChainMap({complex: lambda one: (int, (1,))})

        for steps in ("none", "instance", "member"):
            file = io.BytesIO()
            pickler = Between(file, 4)
            if steps == "instance":
                pickler.dispatch_table = {complex: lambda one: (int, (2,))}
            elif steps == "member":
                module.Pickler.dispatch_table.__set__(pickler, {complex: lambda one: (int, (3,))})
            pickler.dump(1j)
            tables.append(c.loads(file.getvalue()))
        results.append(tables)
    assert results == [[1, 1, 3], [1, 1, 3]]


def test_dispatch_table_given_and_taken_away_counts_references() -> None:
    table: dict[Any, Any] = {}
    before = sys.getrefcount(table)
    pickler = ox.Pickler(io.BytesIO())
    for _ in range(10):
        pickler.dispatch_table = table
    assert sys.getrefcount(table) == before + 1
    assert pickler.dispatch_table is table
    del pickler.dispatch_table
    assert sys.getrefcount(table) == before
    pickler.dispatch_table = table
    del pickler
    gc.collect()
    assert sys.getrefcount(table) == before
