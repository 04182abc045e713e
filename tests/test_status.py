"""What `install()` reaches late, what `status()` says of the rest, and that all of it comes back.

Each case takes `pickle`'s objects in a fresh interpreter before oxipickle is installed.
"""

import json
import os
import pickle
import subprocess
import sys
import textwrap
import types

import oxipickle
import pytest
from oxipickle import _holders, _status, activation
from oxipickle import _pickle as native

pytestmark = pytest.mark.ends


def fresh(program: str, *options: str, **environment: str) -> str:
    """What the program prints; fails with its traceback."""
    done = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- names in modules


def test_names_that_modules_took_before_are_reached_and_come_back() -> None:
    fresh(
        """
        import sys, types, pickle
        from pickle import dumps, Unpickler as U
        other = types.ModuleType("other")
        other.save, other.read = pickle.dump, pickle.load
        sys.modules["other"] = other
        before = {n: dict(vars(m)) for n, m in sys.modules.items() if n != "oxipickle"}

        import oxipickle
        oxipickle.install()
        assert dumps is oxipickle.dumps and U is oxipickle.Unpickler
        assert other.save is oxipickle.dump and other.read is oxipickle.load
        status = oxipickle.status()
        assert set(status.reached) >= {"__main__.dumps", "__main__.U", "other.save", "other.read"}
        assert status.missed == () and status.exit_code == 0, status

        oxipickle.uninstall()
        stock = oxipickle.activation.interpreter_pickle()
        assert dumps is stock.dumps and U is stock.Unpickler
        for name in ("other", "pickle", "_pickle", "shelve"):
            if name in before:
                assert dict(vars(sys.modules[name])) == before[name], name
        """
    )


def test_names_taken_between_two_installs_are_reached_by_the_second() -> None:
    module = types.ModuleType("taken_later")
    stock = activation.interpreter_pickle()
    sys.modules["taken_later"] = module
    try:
        oxipickle.install()
        module.loads = stock.loads  # type: ignore[attr-defined]
        assert ("taken_later", "loads") in {(h.module, h.name) for h in oxipickle.status().missed}
        oxipickle.install()
        assert module.loads is native.loads
    finally:
        oxipickle.uninstall()
        del sys.modules["taken_later"]
    assert module.loads is stock.loads


def test_a_name_that_its_module_has_changed_since_is_left() -> None:
    stock = activation.interpreter_pickle()
    module = types.ModuleType("changes")
    module.dumps, module.loads = stock.dumps, stock.loads  # type: ignore[attr-defined]
    sys.modules["changes"] = module
    try:
        oxipickle.install()
        module.dumps = mine = object()  # type: ignore[attr-defined]
        del module.loads
        with pytest.warns(RuntimeWarning, match=r"changes\.dumps$"):
            oxipickle.uninstall()
    finally:
        del sys.modules["changes"]
    assert module.dumps is mine
    assert not hasattr(module, "loads")


def test_lazy_modules_are_not_loaded_and_odd_entries_are_passed_over() -> None:
    fresh(
        """
        import importlib.util, sys
        spec = importlib.util.find_spec("shelve")
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules["shelve"] = module
        spec.loader.exec_module(module)
        class Odd:
            def __getattribute__(self, name):
                raise SystemError(name)
        sys.modules["odd"], sys.modules["none"] = Odd(), None
        import oxipickle
        oxipickle.install()
        oxipickle.status()
        assert type(module).__name__ == "_LazyModule"
        # Loads it; 3.15 takes other names than the versions before.
        taken = module.Pickler if hasattr(module, "Pickler") else module.dumps
        assert taken in (oxipickle.Pickler, oxipickle.dumps)
        """
    )


# --- multiprocessing


def test_forking_pickler_and_its_holders() -> None:
    fresh(
        """
        import io, sys, pickle
        from multiprocessing import connection, queues, reduction, sharedctypes
        from multiprocessing.reduction import ForkingPickler
        kept = [ForkingPickler]  # in a list, where nobody looks
        class Special: ...
        ForkingPickler.register(Special, lambda one: (list, ([7],)))
        import oxipickle
        oxipickle.install()
        new, [old] = reduction.ForkingPickler, kept
        assert issubclass(new, oxipickle.Pickler) and new is not old
        assert ForkingPickler is new
        for module in (connection, queues, sharedctypes):
            assert module._ForkingPickler is new, module
        assert reduction.AbstractReducer.ForkingPickler is new
        assert new.loads is oxipickle.loads
        assert (new.__name__, new.__module__, new.__doc__, new.__qualname__) == (
            old.__name__, old.__module__, old.__doc__, old.__qualname__)
        # What was registered before is there, also by a name bound before; super() works.
        assert new.loads(new.dumps(Special())) == [7]
        reduction.register(complex, lambda one: (int, (3,)))
        assert new.loads(new.dumps(1j)) == 3 == old.loads(old.dumps(1j))
        file = io.BytesIO()
        reduction.dump({"a": Special()}, file)
        assert pickle.loads(file.getvalue()) == {"a": [7]}
        kept.append(new)
        del old, new
        assert oxipickle.status().missed == (), oxipickle.status()
        oxipickle.uninstall()
        old, new = kept
        assert reduction.ForkingPickler is old is connection._ForkingPickler
        assert reduction.AbstractReducer.ForkingPickler is old
        oxipickle.install()
        assert reduction.ForkingPickler is new  # the same one again
        """
    )


def test_multiprocessing_imported_first_sends_messages_through_ours() -> None:
    printed = fresh(
        """
        import multiprocessing, multiprocessing.connection, multiprocessing.queues
        import oxipickle
        oxipickle.install()
        receiver, sender = multiprocessing.Pipe(False)
        deep = []
        for _ in range(20_000):
            deep = [deep]
        sender.send(deep)  # C fails at this depth
        got = receiver.recv()
        print(isinstance(got, list))
        """
    )
    assert printed == "True"


# --- what cannot be reached


def test_what_is_missed_is_listed_by_module_and_kind() -> None:
    fresh(
        """
        import pickle, sys, types
        stock = pickle.dumps
        class Mine(pickle.Pickler): ...
        class Later(Mine): ...
        class Codec:
            encode = staticmethod(pickle.dumps)
            decode = pickle.loads
        def save(obj, using=pickle.dumps): ...
        def keyword(*, using=pickle.loads): ...
        def make():
            inside = pickle.Unpickler
            def inner(): return inside
            return inner
        inner = make()
        class Pure(pickle._Unpickler): ...
        import _pickle as module, functools
        CODECS = {"pickle": (pickle.dumps, pickle.loads), "C": pickle.dumps}
        class Registry:
            known = [pickle.load]
        class Client:
            def __init__(self): self.encode = pickle.dumps
        class Slotted:
            __slots__ = ("encode",)
            def __init__(self): self.encode = pickle.loads
        class Opened(Client): ...
        kept = [Client(), Slotted(), Opened(), functools.partial(pickle.dumps, protocol=2)]
        kept[2].__dict__["more"] = 1
        # In names that have no __name__, so that the class has no __module__.
        exec("Nameless = type('Nameless', (Base,), {})", {"Base": pickle.Pickler}, kept_names := {})
        import oxipickle
        oxipickle.install()
        status = oxipickle.status()
        assert status.exit_code == 3 and status.state == "active"
        found = {(one.module, one.name, one.kind, one.holds) for one in status.missed}
        assert found == {
            ("__main__", "Mine", "derived class", "_pickle.Pickler"),
            ("__main__", "Later", "derived class", "__main__.Mine"),
            ("__main__", "Codec.encode", "class attribute", "_pickle.dumps"),
            ("__main__", "Codec.decode", "class attribute", "_pickle.loads"),
            ("__main__", "save", "default argument", "_pickle.dumps"),
            ("__main__", "keyword", "default argument", "_pickle.loads"),
            ("__main__", "make.<locals>.inner", "closure", "_pickle.Unpickler"),
            ("__main__", "module", "name", "_pickle"),
            ("__main__", "CODECS", "container", "_pickle.dumps"),
            ("__main__", "Registry.known", "container", "_pickle.load"),
            ("__main__", "Client", "keeper", "_pickle.dumps"),
            ("__main__", "Slotted", "keeper", "_pickle.loads"),
            ("__main__", "Opened", "keeper", "_pickle.dumps"),
            ("functools", "partial", "keeper", "_pickle.dumps"),
            ("?", "Nameless", "derived class", "_pickle.Pickler"),
        }, found
        assert [(one.module, one.name) for one in status.pure_python] == [("__main__", "Pure")]
        text = str(status)
        assert "still with the interpreter's own _pickle:" in text
        assert "__main__: Mine (derived class of _pickle.Pickler)" in text
        # They go on working, with C.
        import io
        file = io.BytesIO()
        Mine(file).dump([1])
        assert Codec.encode([1]) == file.getvalue() == pickle.dumps([1])
        assert not issubclass(Mine, oxipickle.Pickler)
        """
    )


def test_classes_are_neither_compared_nor_hashed() -> None:
    """A metaclass may have an `__eq__` of its own; one in typing warns since 3.15."""
    fresh(
        """
        import pickle

        class Meta(type):
            __hash__ = None

            def __eq__(cls, other):
                raise AssertionError("compared")

        class Early(pickle.Pickler, metaclass=Meta):
            loads = staticmethod(pickle.loads)

        class Keeper(metaclass=Meta):
            table = [pickle.load]

            def __init__(self):
                self.encode = pickle.dumps

        keeper = Keeper()
        Keeper.keeper = keeper
        import oxipickle
        oxipickle.install()
        missed = {(one.name, one.kind) for one in oxipickle.status().missed}
        assert missed == {
            ("Early", "derived class"),
            ("Early.loads", "class attribute"),
            ("Keeper.table", "container"),
            ("Keeper", "keeper"),
        }, missed
        oxipickle.uninstall()
        assert oxipickle.status().state == "off"
        """,
        *("-W", "error"),
    )


def test_nothing_is_missed_by_what_is_imported_afterwards() -> None:
    fresh(
        """
        import oxipickle
        oxipickle.install()
        import multiprocessing.connection, multiprocessing.queues, shelve
        from multiprocessing.reduction import ForkingPickler
        import pickle
        class Mine(pickle.Pickler): ...
        assert oxipickle.status().missed == () == oxipickle.status().reached
        """
    )


DERIVING = """
from pickle import BASE as Base, dumps

def make():
    class Mine(Base):
        def __init__(self, file):
            Base.__init__(self, file)

        def use(self, *arguments):
            return Base.METHOD(self, *arguments)

    return Mine

Mine = make()
"""


@pytest.mark.parametrize(
    ("base", "method", "arguments"), [("Pickler", "dump", "[1]"), ("Unpickler", "load", "")]
)
def test_the_module_of_a_derived_class_keeps_the_name_of_its_base(
    base: str, method: str, arguments: str
) -> None:
    """As in dill: `Unpickler.load(self)` fails for an `Unpickler` that is not the base."""
    source = DERIVING.replace("BASE", base).replace("METHOD", method)
    fresh(
        f"""
        import io, pickle, sys, types
        module = sys.modules["deriving"] = types.ModuleType("deriving")
        exec({source!r}, vars(module))
        import oxipickle
        oxipickle.install()
        assert module.dumps is oxipickle.dumps
        missed = {{(one.name, one.kind) for one in oxipickle.status().missed}}
        assert missed == {{("Base", "name"), ("make.<locals>.Mine", "derived class")}}, missed
        file = io.BytesIO(pickle.dumps([1]))
        assert module.Mine(file).use({arguments}) in (None, [1])
        assert pickle.loads(file.getvalue()) == [1]
        oxipickle.uninstall()
        assert module.Base is pickle.{base}
        """
    )


# --- the report


def test_status_before_during_and_after() -> None:
    before = oxipickle.status()
    assert (before.state, before.how, before.since, before.missed) == ("off", None, None, ())
    assert before.exit_code == 1
    oxipickle.install()
    try:
        during = oxipickle.status()
        assert (during.state, during.how) == ("active", "install()")
        assert during.since is not None and during.since.tzinfo is not None
        assert str(during).startswith("oxipickle is on, by install(), since 2")
        with oxipickle.activated():
            assert oxipickle.status().how == "install()"
        assert oxipickle.status().since == during.since
        oxipickle.uninstall()
        with oxipickle.activated():
            assert oxipickle.status().how == "activated()"
            oxipickle.install()  # stays when the block has ended
        assert oxipickle.status().how == "install()"
    finally:
        oxipickle.uninstall()
    with oxipickle.activated():
        assert oxipickle.status().how == "activated()"
    assert oxipickle.status() == before


def test_status_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(obj: object) -> bytes:
        return b""

    monkeypatch.setattr(pickle, "dumps", pickle.dumps)
    oxipickle.install()
    pickle.dumps = other
    status = oxipickle.status()
    assert (status.state, status.foreign, status.exit_code) == ("partly", ("dumps",), 3)
    assert "replaced by others since: pickle.dumps" in str(status)
    with pytest.warns(RuntimeWarning, match=r"pickle\.dumps"):
        oxipickle.uninstall()
    assert pickle.dumps is other


def test_status_for_json() -> None:
    with oxipickle.activated():
        document = json.loads(json.dumps(oxipickle.status().as_dict()))
    assert document["state"] == "active"
    assert document["since"].endswith("+00:00")


def test_how_a_holder_is_described() -> None:
    assert _holders.described(native.dumps).endswith(".dumps")
    assert _status._line(_holders.Holder("m", "n", "name", "_pickle.dumps")) == (
        "m: n (name of _pickle.dumps)"
    )


# --- OXIPICKLE_DISABLE


@pytest.mark.parametrize(("value", "off"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_disable_wins_over_install_and_activated(value: str, off: bool) -> None:
    printed = fresh(
        """
        import oxipickle, pickle
        with oxipickle.activated():
            print(oxipickle.installed())
        oxipickle.install()
        print(oxipickle.installed(), oxipickle.status().state, oxipickle.status().exit_code)
        oxipickle.uninstall()
        print(oxipickle.loads(oxipickle.dumps([1])))
        """,
        OXIPICKLE_DISABLE=value,
    )
    expected = "False\nFalse disabled 1\n[1]" if off else "True\nTrue active 0\n[1]"
    assert printed == expected
