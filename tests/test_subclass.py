"""Subclasses as they are written in the field: hooks by inheritance, by `super()`, by wrapping.

The shapes are those of cloudpickle, multiprocessing, joblib, torch and of restricted unpicklers;
none of these packages is needed.
"""

from __future__ import annotations

import builtins
import collections
import copyreg
import functools
import io
import types
from typing import Any

import pytest

import corpus
from corpus import CASES, Node, Plain, Point, build
from support import PROTOCOLS, PY, Raised, agree, attempt, c, isomorphic, ox


def both(run: Any, *args: Any) -> Any:
    """Run a story with each module and compare the outcomes."""
    ours, theirs = attempt(run, ox, *args), attempt(run, c, *args)
    agree(ours, theirs, run.__name__)
    return ours


# --- picklers -------------------------------------------------------------------------------------------


def forking_pickler(mod: Any, obj: Any, protocol: int) -> bytes:
    """As multiprocessing.reduction: a class with a register of its own over copyreg's."""

    class ForkingPickler(mod.Pickler):
        _extra_reducers: dict[Any, Any] = {}
        _copyreg_dispatch = copyreg.dispatch_table

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.dispatch_table = self._copyreg_dispatch.copy()
            self.dispatch_table.update(self._extra_reducers)

        @classmethod
        def register(cls, type_: Any, reduce: Any) -> None:
            cls._extra_reducers[type_] = reduce

        @classmethod
        def dumps(cls, obj: Any, protocol: Any = None) -> Any:
            buf = io.BytesIO()
            cls(buf, protocol).dump(obj)
            return buf.getbuffer()

    def reduce_method(m: Any) -> Any:
        return getattr, (m.__self__, m.__func__.__name__)

    ForkingPickler.register(types.MethodType, reduce_method)
    ForkingPickler.register(Node, lambda n: (build, (n.value,)))
    return bytes(ForkingPickler.dumps(obj, protocol))


def cloud_pickler(mod: Any, obj: Any, protocol: int) -> bytes:
    """As cloudpickle: a ChainMap as dispatch table, functions by value through reducer_override."""

    class CloudPickler(mod.Pickler):
        _dispatch_table = {types.CodeType: lambda code: (compile, ("0", code.co_name, "eval"))}
        dispatch_table = collections.ChainMap(_dispatch_table, copyreg.dispatch_table)

        def __init__(self, file: Any, protocol: Any = None, buffer_callback: Any = None) -> None:
            super().__init__(file, protocol=protocol, buffer_callback=buffer_callback)
            self.globals_ref: dict[Any, Any] = {}

        def dump(self, obj: Any) -> None:
            try:
                super().dump(obj)
            except RuntimeError as error:
                raise RuntimeError("too deep") from error

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, types.FunctionType) and "<" in obj.__qualname__:
                base = self.globals_ref.setdefault(id(obj.__globals__), {"__name__": "base"})
                state = (obj.__dict__, {"__qualname__": "f", "base": base})
                return build, (obj.__code__,), state, None, None, corpus.set_state
            if isinstance(obj, type) and obj.__module__ == "__dynamic__":
                return type, (obj.__name__, (object,), {"a": 1})
            return NotImplemented

    out = io.BytesIO()
    CloudPickler(out, protocol, None if protocol < 5 else lambda b: True).dump(obj)
    return out.getvalue()


def storage_pickler(mod: Any, obj: Any, protocol: int) -> bytes:
    """As torch.save: storages by persistent id, a tuple that shares strings."""
    seen: dict[int, str] = {}

    class StoragePickler(mod.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            if isinstance(obj, corpus.Data):
                key = seen.setdefault(id(obj), str(len(seen)))
                return ("storage", corpus.Data, key, "cpu", 3)
            return None

    out = io.BytesIO()
    pickler = StoragePickler(out, protocol=protocol)
    pickler.dump(obj)
    return out.getvalue()


def hasher(mod: Any, obj: Any, protocol: int) -> bytes:
    """As a hashing pickler: the file is a sink with `write` alone, the memo is switched off for str."""

    class Sink:
        def __init__(self) -> None:
            self.parts: list[bytes] = []

        def write(self, data: Any) -> None:
            self.parts.append(bytes(data))

    class Hasher(mod.Pickler):
        def __init__(self) -> None:
            self.stream = Sink()
            super().__init__(self.stream, protocol)

        def digest(self, obj: Any) -> bytes:
            self.dump(obj)
            self.clear_memo()
            self.dump(obj)
            return b"".join(self.stream.parts)

    return Hasher().digest(obj)


def wrapper(mod: Any, obj: Any, protocol: int) -> bytes:
    """A pickler that is held, not inherited from, and lives through many dumps."""
    out = io.BytesIO()
    pickler = mod.Pickler(out, protocol)
    pickler.dispatch_table = {**copyreg.dispatch_table, Plain: lambda p: (build, (p.__dict__,))}
    for part in (obj, [obj], obj):
        pickler.dump(part)
    return out.getvalue()


def several_levels(mod: Any, obj: Any, protocol: int) -> bytes:
    """Hooks of a grandparent, a mixin beside the class, a property as hook."""

    class Grand(mod.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            return (build, ("grand",)) if type(obj) is Node else NotImplemented

    class Parent(Grand):
        @property
        def dispatch_table(self) -> Any:
            return {Point: lambda p: (build, ("property",))}

    class Mixin:
        def persistent_id(self, obj: Any) -> Any:
            return "mixin" if obj == 7 else None

    class Child(Mixin, Parent):
        __slots__ = ("extra",)

        def reducer_override(self, obj: Any) -> Any:
            return super().reducer_override(obj)

    out = io.BytesIO()
    Child(out, protocol).dump(obj)
    return out.getvalue()


PICKLERS = [forking_pickler, cloud_pickler, storage_pickler, hasher, wrapper, several_levels]


def values() -> dict[str, Any]:
    outer = corpus.Outer()
    dynamic = type("Dynamic", (), {"__module__": "__dynamic__"})
    data = corpus.Data([1])
    return {
        "mixed": [outer.method, Node(1), Point(1, 2), Plain(a=7), 7, data, {"d": data}],
        "functions": [lambda x: x, values, len, lambda: 7, functools.partial(build, 1)],
        "classes": [dynamic, Plain, dynamic, corpus.Outer.Inner],
        "plain": CASES["document"](),
        "instances": [Plain(a=Node([i])) for i in range(50)],
        "shared": [data, data, [data], outer, outer.method],
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("make", PICKLERS, ids=lambda make: make.__name__)
def test_pickler_in_the_style_of(make: Any, protocol: int) -> None:
    for obj in values().values():
        both(make, obj, protocol)


def test_reducer_override_on_an_instance_of_a_subclass() -> None:
    def run(mod: Any, slots: bool) -> bytes:
        sub = type("Sub", (mod.Pickler,), {})
        pickler = sub(out := io.BytesIO(), 4)
        pickler.reducer_override = lambda o: (build, ()) if type(o) is Plain else NotImplemented
        pickler.dump([Plain(a=1), Node(2)])
        del pickler.reducer_override
        pickler.dump([Plain(a=1)])
        return out.getvalue()

    both(run, False)


@pytest.mark.parametrize(
    "override",
    [
        None,
        5,
        staticmethod(lambda o: NotImplemented),
        classmethod(lambda cls, o: NotImplemented),
        property(lambda self: lambda o: NotImplemented),
        property(lambda self: 1 / 0),
        staticmethod(functools.partial(lambda o: NotImplemented)),
        lambda self, o, more: NotImplemented,
        lambda self, o: 1 / 0,
    ],
    ids=range(9),
)
def test_forms_of_reducer_override(override: Any) -> None:
    def run(mod: Any) -> Any:
        out = io.BytesIO()
        type("P", (mod.Pickler,), {"reducer_override": override})(out, 4).dump([Plain(a=1), Plain])
        return out.getvalue()

    both(run)


def test_init_that_changes_its_arguments() -> None:
    def run(mod: Any) -> Any:
        class Closing(mod.Pickler):
            def __init__(self, *, compact: bool = True) -> None:
                self.out = io.BytesIO()
                super().__init__(self.out, 5 if compact else 0, fix_imports=False)
                self.compact = compact

        one, two = Closing(), Closing(compact=False)
        one.dump([Plain])
        two.dump([Plain])
        return one.out.getvalue() + two.out.getvalue()

    both(run)


def test_new_with_other_arguments() -> None:
    """`__new__` takes anything; `__init__` decides."""
    for base in ("Pickler", "Unpickler"):
        for mod in (ox, c):

            class Sub(getattr(mod, base)):
                def __new__(cls, *args: Any, **kwargs: Any) -> Any:
                    return super().__new__(cls)

                def __init__(self, a: Any, b: Any, *, k: Any) -> None:
                    super().__init__(io.BytesIO(b"K\x05."))

            obj = Sub(1, 2, k=3)
            assert obj.load() == 5 if base == "Unpickler" else obj.dump(1) is None


def test_slots_dicts_and_weak_references() -> None:
    weakref = __import__("weakref")
    for base in ("Pickler", "Unpickler"):
        for mod in (ox, c):
            cls = getattr(mod, base)
            with_dict = type("D", (cls,), {})(io.BytesIO())
            with_dict.anything = 1
            assert with_dict.__dict__ == {"anything": 1}
            assert weakref.ref(with_dict)() is with_dict
            slots = type("S", (cls,), {"__slots__": ("a",)})(io.BytesIO())
            slots.a = 1
            assert isinstance(attempt(setattr, slots, "b", 1), Raised)
            assert isinstance(attempt(type, "Two", (ox.Pickler, ox.Unpickler), {}), Raised)


def test_a_subclass_may_be_abstract_generic_or_final() -> None:
    import abc
    import typing

    for mod in (ox, c):

        class Abstract(mod.Pickler, abc.ABC):
            @abc.abstractmethod
            def name(self) -> str: ...

        class Concrete(Abstract):
            def name(self) -> str:
                return "x"

        # an Abstract itself: C makes one, `object.__new__`, which ours goes through, refuses
        Concrete(out := io.BytesIO(), 4).dump([1])
        assert out.getvalue() == c.dumps([1], 4)

        class Generic(mod.Unpickler, typing.Generic[typing.TypeVar("T")]):
            pass

        assert Generic[int](io.BytesIO(b"K\x05.")).load() == 5


@pytest.mark.skipif(PY < (3, 13), reason="endless recursion in C before 3.13 (gh-89850)")
def test_gh_89850_super_persistent_hooks() -> None:
    def run(mod: Any) -> Any:
        class P(mod.Pickler):
            def persistent_id(self, obj: Any) -> Any:
                return "seven" if obj == 7 else super().persistent_id(obj)

        class U(mod.Unpickler):
            def persistent_load(self, pid: Any) -> Any:
                return 7 if pid == "seven" else super().persistent_load(pid)

        P(out := io.BytesIO(), 2).dump([1, 7])
        return [U(io.BytesIO(out.getvalue())).load(), attempt(U(io.BytesIO(b"Pother\n.")).load)]

    for mine, other in zip(run(ox), run(c)):
        agree(mine, other)


# --- unpicklers ---------------------------------------------------------------------------------------------


def restricted(mod: Any, data: bytes) -> Any:
    """The recipe of the documentation."""

    class Restricted(mod.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module == "builtins" and name in {"range", "complex", "set", "frozenset", "slice"}:
                return getattr(builtins, name)
            raise c.UnpicklingError(f"global '{module}.{name}' is forbidden")

    return Restricted(io.BytesIO(data)).load()


def renaming(mod: Any, data: bytes) -> Any:
    """Old class paths are mapped to new ones; a fallback on failure."""

    class Renaming(mod.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            try:
                return super().find_class({"old_corpus": "corpus"}.get(module, module), name)
            except (ImportError, AttributeError):
                return corpus.Built

    return Renaming(io.BytesIO(data), encoding="latin1").load()


def storages(mod: Any, data: bytes) -> Any:
    class Storages(mod.Unpickler):
        loaded: dict[Any, Any] = {}

        def persistent_load(self, pid: Any) -> Any:
            assert pid[0] == "storage"
            return self.loaded.setdefault(pid[2], corpus.Data(pid))

    return Storages(io.BytesIO(data)).load()


def test_restricted_unpickler() -> None:
    for name in ("ranges_and_slices", "exceptions", "complex_numbers", "plain_instance", "paths"):
        for protocol in PROTOCOLS:
            data = attempt(c.dumps, CASES[name](), protocol)
            if isinstance(data, Raised):
                continue
            ours, theirs = attempt(restricted, ox, data), attempt(restricted, c, data)
            if isinstance(theirs, Raised):
                agree(ours, theirs, name)
            else:
                assert isomorphic(ours, theirs) is None


def test_renaming_unpickler() -> None:
    for protocol in PROTOCOLS:
        data = c.dumps([Plain(a=1), Node([2]), corpus.Data(3)], protocol)
        for old in (b"corpus", b"xorpus"):
            changed = data.replace(b"corpus", old)
            assert isomorphic(renaming(ox, changed), renaming(c, changed)) is None


def test_storages_by_persistent_id() -> None:
    data = storage_pickler(c, values()["mixed"], 2)
    ours, theirs = storages(ox, data), storages(c, data)
    assert isomorphic(ours[5:], theirs[5:]) is None
    assert ours[5] is ours[6]["d"]


def test_find_class_property_and_class_hooks() -> None:
    data = b"cno_such\nthing\n."
    for member in (
        property(lambda self: lambda m, n: (m, n)),
        staticmethod(lambda m, n: (m, n)),
        classmethod(lambda cls, m, n: (cls.__name__, m, n)),
        staticmethod(functools.partial(lambda m, n: (m, n))),
        None,
        5,
        property(lambda self: 1 / 0),
    ):
        outcomes = [
            attempt(type("U", (mod.Unpickler,), {"find_class": member})(io.BytesIO(data)).load)
            for mod in (ox, c)
        ]
        agree(*outcomes, repr(type(member)))


def test_find_class_is_looked_up_for_each_global() -> None:
    """It may be exchanged in the middle of a load."""

    def run(mod: Any) -> Any:
        class U(mod.Unpickler):
            def find_class(self, module: str, name: str) -> Any:
                self.find_class = lambda m, n: ("exchanged", m, n)
                return ("first", module, name)

        return U(io.BytesIO(b"(ca\nb\ncc\nd\nce\nf\nt.")).load()

    both(run)


def test_both_classes_wrapped_together() -> None:
    """A round trip through a pair that adds a header, as message queues do."""

    def run(mod: Any) -> Any:
        class Out(mod.Pickler):
            def send(self, obj: Any, file: Any) -> None:
                at = file.tell()
                self.dump(obj)
                self.clear_memo()
                file.write(b"|%d|" % (file.tell() - at))

        out = io.BytesIO()
        pickler = Out(out, 4)
        for i in range(5):
            pickler.send([Plain(a=i), "x" * i], out)
        out.seek(0)
        unpickler = mod.Unpickler(out)
        found = []
        for _ in range(5):
            found.append(
                [value if isinstance(value, str) else value.a for value in unpickler.load()]
            )
            header = out.read(1)
            while (char := out.read(1)) != b"|":
                header += char
            found.append(header)
        return found

    both(run)
