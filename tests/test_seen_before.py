"""Classes that were saved by name before, and reduce methods that are called at once.

The second dump of a class looks at what the first has seen of it. Whatever changes in between, in the middle
of a dump or behind the interpreter's back, is noticed: bytes, errors and calls stay C's.
"""

from __future__ import annotations

import ast
import builtins
import copyreg
import datetime
import importlib
import io
import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import PROTOCOLS, Raised, attempt, c, ox, same_error

MODULE = "module_of_the_classes"
PACKAGE = "package_of_the_classes"


def make(module: str = MODULE, name: str = "Made", **body: Any) -> type:
    """A class in a module of its own, which is loaded."""
    for part in (module.split(".")[0], module):
        if part not in sys.modules:
            sys.modules[part] = types.ModuleType(part)
            spec = importlib.machinery.ModuleSpec(part, None)
            sys.modules[part].__spec__ = spec
    made = type(name, (), {"__module__": module, **body})
    setattr(sys.modules[module], name, made)
    return made


@pytest.fixture(autouse=True)
def modules_are_restored() -> Iterator[None]:
    before = dict(sys.modules)
    yield
    for name in [name for name in sys.modules if name not in before]:
        del sys.modules[name]
    sys.modules.update(before)


def same(value: Any, protocol: int = 5) -> Any:
    """Compares two dumps in a row: the second finds what the first has seen."""
    theirs = attempt(c.dumps, value, protocol)
    for _ in range(2):
        ours = attempt(ox.dumps, value, protocol)
        if isinstance(theirs, Raised):
            assert same_error(ours, theirs), (ours, theirs)
        else:
            assert ours == theirs
    return theirs


CHANGES: dict[str, Callable[[type, pytest.MonkeyPatch], Any]] = {
    "nothing": lambda made, patch: None,
    "name": lambda made, patch: setattr(made, "__qualname__", "Other"),
    "name, and found there": lambda made, patch: (
        setattr(made, "__qualname__", "Other"),
        setattr(sys.modules[made.__module__], "Other", made),
    ),
    "equal name": lambda made, patch: setattr(made, "__qualname__", "".join(["Ma", "de"])),
    "local name": lambda made, patch: setattr(made, "__qualname__", "f.<locals>.Made"),
    "dotted name": lambda made, patch: setattr(made, "__qualname__", "Made.Made"),
    "module": lambda made, patch: setattr(made, "__module__", "builtins"),
    "module is None": lambda made, patch: setattr(made, "__module__", None),
    "module deleted": lambda made, patch: patch.delitem(sys.modules, made.__module__),
    "module exchanged": lambda made, patch: patch.setitem(
        sys.modules, made.__module__, types.ModuleType(made.__module__)
    ),
    "module exchanged for one with the class": lambda made, patch: patch.setitem(
        sys.modules, made.__module__, types.SimpleNamespace(Made=made)
    ),
    "module of another class": lambda made, patch: setattr(
        sys.modules[made.__module__], "__class__", type("Module", (types.ModuleType,), {})
    ),
    "module has another": lambda made, patch: patch.setattr(
        sys.modules[made.__module__], "Made", int
    ),
    "module has none": lambda made, patch: patch.delattr(sys.modules[made.__module__], "Made"),
    "a key that is no str in the module": lambda made, patch: patch.setitem(
        vars(sys.modules[made.__module__]), 1, 2
    ),
    "spec exchanged": lambda made, patch: patch.setattr(
        sys.modules[made.__module__], "__spec__", None
    ),
    "no spec": lambda made, patch: patch.delattr(sys.modules[made.__module__], "__spec__"),
    "importing": lambda made, patch: patch.setattr(
        sys.modules[made.__module__].__spec__, "_initializing", False, raising=False
    ),
    "a new attribute": lambda made, patch: setattr(made, "attribute", 1),
    "registered": lambda made, patch: patch.setitem(
        copyreg.dispatch_table, made, lambda it: (str, ("registered",))
    ),
    "metaclass registered": lambda made, patch: patch.setitem(
        copyreg.dispatch_table, type(made), lambda it: (str, ("registered",))
    ),
    "an extension": lambda made, patch: (
        patch.setitem(copyreg._extension_registry, (made.__module__, "Made"), 77),  # type: ignore[attr-defined]
        patch.setitem(copyreg._inverted_registry, 77, (made.__module__, "Made")),  # type: ignore[attr-defined]
    ),
    "a reduce method": lambda made, patch: setattr(made, "__reduce__", lambda it: (str, ("r",))),
    "a state": lambda made, patch: setattr(made, "__getstate__", lambda it: {"state": 1}),
    "a state that is None": lambda made, patch: setattr(made, "__getstate__", lambda it: None),
}


class Meta(type):
    """A metaclass that changes nothing."""


class Answering(type):
    """A metaclass that answers for the name of its classes."""

    def __getattribute__(cls, name: str) -> Any:
        found = super().__getattribute__(name)
        return found if name != "__qualname__" or found == "Made" else f"<locals>.{found}"


@pytest.mark.parametrize("meta", [type, Meta, Answering])
@pytest.mark.parametrize("module", [MODULE, f"{PACKAGE}.inner"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_since_is_seen(
    change: str, module: str, meta: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(module)
    if meta is not type:
        made = meta("Made", (made,), {"__module__": module})
        sys.modules[module].Made = made  # type: ignore[attr-defined]
    instance = made()
    instance.attribute = ["value"]
    for value in (made, instance, [instance, made, made()]):
        same(value)
    CHANGES[change](made, monkeypatch)
    for protocol in PROTOCOLS:
        for value in (made, instance, [instance, made, made()]):
            same(value, protocol)


def test_the_package_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(f"{PACKAGE}.inner")
    same(made)
    monkeypatch.delitem(sys.modules, PACKAGE)
    assert isinstance(same(made), Raised)


def test_an_import_function_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make()
    own = builtins.__import__
    same([made, made()])
    seen: list[str] = []

    def importing(name: str, *rest: Any) -> Any:
        seen.append(name)
        return own(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)
    calls = []
    for module in (c, ox, ox):
        seen.clear()
        module.dumps([made, made()])
        calls.append(list(seen))
    assert calls[0] == calls[1] == calls[2]
    assert MODULE in calls[0]


def test_a_hostile_key_beside_the_name() -> None:
    """A key with the hash of the class's name is compared with it: by Python code, as with C."""
    made = make()
    same([made, made()])
    asked = []

    class Hostile:
        def __hash__(self) -> int:
            return hash("Made")

        def __eq__(self, other: object) -> bool:
            asked.append(other)
            return False

    names = vars(sys.modules[MODULE])
    value = names.pop("Made")
    names[Hostile()] = 1
    names["Made"] = value
    counts = []
    for module in (c, ox, ox):
        asked.clear()
        module.dumps([made, made()])
        counts.append(len(asked))
    assert counts[0] == counts[1] == counts[2] > 0


def test_a_reducer_registers_another_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is registered in the middle of a dump holds for the rest of it."""
    made = make()

    class Registers:
        def __reduce__(self) -> tuple[Any, ...]:
            copyreg.dispatch_table[made] = lambda it: (str, ("registered",))
            return (str, ("done",))

    value = [made(), Registers(), made()]
    results = []
    for module in (c, ox, ox):
        monkeypatch.delitem(copyreg.dispatch_table, made, raising=False)
        results.append(module.dumps(value))
    monkeypatch.delitem(copyreg.dispatch_table, made)
    assert results[0] == results[1] == results[2]
    assert b"registered" in results[0]


def test_a_key_of_the_dispatch_table_that_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is no class but hashes and compares like one."""
    made = make()
    same(made())

    class Like:
        def __hash__(self) -> int:
            return hash(made)

        def __eq__(self, other: object) -> bool:
            return other is made

    monkeypatch.setitem(copyreg.dispatch_table, Like(), lambda it: (str, ("like",)))  # type: ignore[arg-type]
    assert b"like" in same(made())


def test_a_large_dispatch_table(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make()
    same(made())
    for n in range(40):
        monkeypatch.setitem(copyreg.dispatch_table, type(f"C{n}", (), {}), lambda it: "x")
    same(made())
    monkeypatch.setitem(copyreg.dispatch_table, made, lambda it: (str, ("late",)))
    assert b"late" in same(made())


def test_classes_come_and_go() -> None:
    """A new class at the address of a dead one, of the same name, in the same module."""
    for n in range(300):
        made = make(body=n)
        instance = made()
        same([instance, made])
        if n % 3 == 0:
            delattr(sys.modules[MODULE], "Made")
            same([instance, made])
        del made, instance


def test_frames_end_between_class_and_state() -> None:
    made = make(__getstate__=lambda it: "state")
    plain = make(name="Plain")
    zone = datetime.timezone(datetime.timedelta(hours=1), "zone")
    same([made(), plain(), zone])
    for size in [*range(64_700, 65_600, 7), *range(65_440, 65_560)]:
        moment = datetime.datetime(2020, 1, 1, tzinfo=zone)
        for value in (made(), plain(), moment, datetime.timedelta(1)):
            same(["x" * 200] * 3 + [b"y" * (size - 640), value])


# --- `__getstate__` and `__reduce__` called at once -------------------------------------------


class Stateful:
    def __init__(self, state: Any) -> None:
        self.state = state

    def __getstate__(self) -> Any:
        return self.state() if callable(self.state) else self.state


class StatefulWithSlots:
    __slots__ = ("a", "b")

    def __getstate__(self) -> Any:
        return (None, {"a": 1})


class StatefulList(list[Any]):
    def __getstate__(self) -> Any:
        return {"a": 1}


class StatefulInt(int):
    def __getstate__(self) -> Any:
        return {"a": 1}


class WithArguments:
    def __getnewargs__(self) -> tuple[Any, ...]:
        return (1, 2)

    def __getstate__(self) -> Any:
        return {"a": 1}


class Reducing:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        return self.value


class Callable_:
    """A state method that is no function."""

    class Method:
        def __call__(self) -> Any:
            return "called without an instance"

    __getstate__ = Method()


class Static:
    @staticmethod
    def __getstate__() -> Any:
        return "static"


def fails() -> Any:
    raise ValueError("no state")


def with_attribute(made: Any, name: str, value: Any) -> Any:
    vars(made)[name] = value
    return made


STATES: dict[str, Callable[[], Any]] = {
    "None": lambda: Stateful(None),
    "false": lambda: Stateful(0),
    "text": lambda: Stateful("text"),
    "a tuple": lambda: Stateful((None, {"a": 1})),
    "nested": lambda: Stateful([Stateful([Stateful("x")]), Stateful(None)]),
    "a list of them": lambda: [Stateful(n) for n in range(20)],
    "error": lambda: Stateful(fails),
    "a state that cannot be pickled": lambda: [Stateful({"a": lambda: 1})],
    "a state whose item fails": lambda: [Stateful([Reducing(1)])],
    "slots": StatefulWithSlots,
    "a list": lambda: StatefulList([1, 2]),
    "an int": lambda: StatefulInt(5),
    "arguments": WithArguments,
    "no function": Callable_,
    "a static method": Static,
    "own __getstate__": lambda: with_attribute(Stateful(1), "__getstate__", lambda: "own"),
    "own __reduce__": lambda: with_attribute(Stateful(1), "__reduce__", lambda: (str, ("own",))),
    "own __reduce_ex__": lambda: with_attribute(
        Stateful(1), "__reduce_ex__", lambda protocol: (str, ("own",))
    ),
    "own __class__": lambda: with_attribute(Stateful(1), "__class__", int),
    "reduce value": lambda: Reducing((str, ("x",))),
    "reduce value with state": lambda: Reducing((Stateful, (1,), {"a": 1})),
    "a name": lambda: Reducing("Stateful"),
    "a wrong reduce value": lambda: Reducing(5),
    "a short reduce value": lambda: Reducing((1,)),
    "reducing, own __reduce__": lambda: with_attribute(
        Reducing(1), "__reduce__", lambda: (str, ("own",))
    ),
    "reducing, own __reduce_ex__": lambda: with_attribute(
        Reducing(1), "__reduce_ex__", lambda protocol: (str, ("own",))
    ),
    "in a set": lambda: {Stateful("x")},
    "in a key": lambda: {Stateful("x"): Stateful("y")},
    "in a tuple": lambda: (Stateful("x"), Stateful("y")),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", STATES)
def test_states_and_reduce_values(name: str, protocol: int) -> None:
    same(STATES[name](), protocol)


def test_a_state_leads_back() -> None:
    made = Stateful(None)
    made.state = [made, vars(made), Stateful]
    for protocol in PROTOCOLS:
        same(made, protocol)
        same([made, made], protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("what", ["bin", "fast", "memo", "dump", "dispatch_table"])
def test_a_state_method_changes_the_pickler(what: str, protocol: int) -> None:
    def run(module: Any) -> Any:
        file = io.BytesIO()
        pickler = module.Pickler(file, protocol)

        def act() -> Any:
            if what == "bin":
                pickler.bin = 0
            elif what == "fast":
                pickler.fast = True
            elif what == "memo":
                pickler.clear_memo()
            elif what == "dispatch_table":
                pickler.dispatch_table = {Stateful: lambda it: (str, ("private",))}
            else:
                module.dumps([1, Stateful("inner")])
            return ["state", Stateful("x")]

        shared = ["shared"]
        outcome = attempt(pickler.dump, [Stateful("x"), shared, Stateful(act), shared, Stateful])
        return outcome, file.getvalue()

    assert run(ox) == run(c)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_hooks_see_states(protocol: int) -> None:
    def run(module: Any) -> Any:
        seen: list[Any] = []

        class Hooked(module.Pickler):  # type: ignore[misc]
            def persistent_id(self, obj: Any) -> Any:
                seen.append(type(obj))
                return None

            def reducer_override(self, obj: Any) -> Any:
                seen.append(("override", type(obj)))
                return NotImplemented

        file = io.BytesIO()
        Hooked(file, protocol).dump([Stateful("x"), Stateful(None), Reducing((str, ("x",)))])
        return seen, file.getvalue()

    assert run(ox) == run(c)


# --- time zones -------------------------------------------------------------------------------

HOUR = datetime.timedelta(hours=1)
ZONES = [
    datetime.timezone.utc,
    datetime.timezone(HOUR),
    datetime.timezone(HOUR, "an hour"),
    datetime.timezone(HOUR, "\u00e9" * 40),
    datetime.timezone(HOUR, "n" * 300),
]


class OwnDateTime(datetime.datetime):
    """A moment of a program's own."""


def test_time_zones_among_other_objects() -> None:
    chance = random.Random(11)
    for _ in range(400):
        zone = chance.choice(ZONES)
        parts: list[Any] = [
            zone,
            zone.utcoffset(None),
            zone.tzname(None),
            OwnDateTime(2020, 1, 1, tzinfo=zone),
            datetime.datetime(2020, 1, 2, 3, tzinfo=zone, fold=1),
            datetime.time(1, 2, tzinfo=zone),
            datetime.timedelta(1, 2, 3),
            datetime.timezone,
            datetime.timedelta,
            OwnDateTime,
        ]
        value = [chance.choice(parts) for _ in range(chance.randrange(1, 7))]
        for protocol in PROTOCOLS:
            same(value, protocol)


def test_a_registered_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    same(moment)
    monkeypatch.setitem(copyreg.dispatch_table, datetime.timedelta, lambda it: (str, ("d",)))
    same(moment)
    monkeypatch.setitem(copyreg.dispatch_table, datetime.timezone, lambda it: (str, ("z",)))
    same(moment)


class Offset(datetime.timedelta):
    """Has a dict, so that an instance can have methods of its own."""


@pytest.mark.parametrize("name", ["__reduce_ex__", "__reduce__", "other"])
def test_the_offset_of_a_time_zone_has_a_reduce_method_of_its_own(name: str) -> None:
    plain, special = Offset(hours=1), Offset(hours=2)
    setattr(special, name, lambda *protocol: (str, ("own",)))
    same([plain, datetime.timezone(plain)])
    for protocol in PROTOCOLS:
        same(datetime.timezone(special), protocol)
        same(datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone(special)), protocol)
        same([plain, special], protocol)


# --- syntax trees -----------------------------------------------------------------------------


def nodes() -> list[type[ast.AST]]:
    found = [kind for kind in vars(ast).values() if isinstance(kind, type)]
    return [kind for kind in found if issubclass(kind, ast.AST) and kind.__module__ == "ast"]


class OwnFields(ast.Name):
    _fields = ("id", "other", "ctx")


class ListOfFields(ast.Name):
    _fields = ["id", "ctx"]  # type: ignore[assignment]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nodes_with_some_of_their_fields() -> None:
    chance = random.Random(12)
    kinds = [*nodes(), OwnFields, ListOfFields]
    for _ in range(2000):
        kind = chance.choice(kinds)
        made = ast.AST.__new__(kind)
        names = [*kind._fields, "lineno", "extra"]
        for name in chance.sample(names, chance.randrange(len(names))):
            setattr(made, name, chance.choice([1, "text", None, [made], ast.Load()]))
        if chance.random() < 0.1:
            vars(made)[5] = "no str"  # type: ignore[index]
        for protocol in (0, 2, 3, 4, 5):
            same([made, made, vars(made)], protocol)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fields_that_are_changed_later() -> None:
    class Changing(ast.Name):
        pass

    Changing.__qualname__ = "Changing"
    globals()["Changing"] = Changing
    made = ast.AST.__new__(Changing)
    made.id, made.ctx, made.other = "x", ast.Load(), 1  # type: ignore[attr-defined]
    same(made)
    for fields in (("other",), ("id", "none", "ctx"), (), ["ctx"], ("id", 5), None):
        Changing._fields = fields  # type: ignore[assignment]
        same(made)
    del globals()["Changing"]
