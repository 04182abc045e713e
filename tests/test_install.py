"""`import oxipickle`, `install()`, `uninstall()`, `installed()`, `activated()`.

What needs a fresh interpreter (the order of the first imports) runs in one; the rest runs here and
has to leave `pickle` as it was, which a fixture checks.
"""

import importlib.metadata
import io
import pickle
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Iterator

import oxipickle
import pytest
from oxipickle import _pickle as native
from oxipickle import activation

pytestmark = pytest.mark.ends

NAMES = ("Pickler", "Unpickler", "dump", "dumps", "load", "loads")
EXCEPTIONS = ("PickleError", "PicklingError", "UnpicklingError")


def snapshot() -> dict[str, object]:
    """Everything that may change: the modules' names, the table of the pure-Python pickler."""
    state: dict[str, object] = {f"pickle.{name}": value for name, value in vars(pickle).items()}
    state |= {str(key): value for key, value in pickle._Pickler.dispatch.items()}
    return state | {"_pickle": sys.modules["_pickle"]}


@pytest.fixture(autouse=True)
def reversible() -> Iterator[None]:
    before = snapshot()
    yield
    oxipickle.uninstall()
    assert snapshot() == before


def in_fresh_interpreter(program: str, *options: str) -> str:
    """What the program prints; fails with its traceback."""
    done = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def is_ours() -> bool:
    return sys.modules["_pickle"] is native and all(
        getattr(pickle, name) is getattr(native, name) for name in NAMES
    )


# --- the package itself


def test_import_changes_nothing() -> None:
    printed = in_fresh_interpreter(
        """
        import sys
        import oxipickle
        assert "pickle" not in sys.modules
        assert sys.modules["_pickle"] is not oxipickle._pickle
        import pickle
        assert pickle.dumps is sys.modules["_pickle"].dumps
        assert pickle.dumps is not oxipickle.dumps
        print(oxipickle.installed())
        """
    )
    assert printed == "False"


def test_offers_the_api_of_pickle_under_its_own_name() -> None:
    missing = [name for name in pickle.__all__ if not hasattr(oxipickle, name)]
    assert missing == []
    constants = [name for name in pickle.__all__ if name.isupper()]
    assert "PROTO" in constants
    for name in constants:
        assert getattr(oxipickle, name) == getattr(pickle, name), name
    with pytest.raises(AttributeError, match="NO_SUCH_OPCODE"):
        _ = oxipickle.NO_SUCH_OPCODE
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = oxipickle.no_such_name


def test_functions_and_classes_are_the_native_ones() -> None:
    for name in NAMES:
        assert getattr(oxipickle, name) is getattr(native, name)
    for name in ("dump", "dumps", "load", "loads"):
        assert isinstance(getattr(oxipickle, name), types.BuiltinFunctionType), name


def test_exceptions_are_the_interpreters() -> None:
    for name in EXCEPTIONS:
        assert getattr(oxipickle, name) is getattr(pickle, name)
    with pytest.raises(pickle.UnpicklingError):
        oxipickle.loads(b"\xff")


def test_native_module_has_the_ten_names_and_one_for_activation() -> None:
    names = {name for name in vars(native) if not name.startswith("__")}
    assert names == {*NAMES, *EXCEPTIONS, "PickleBuffer", "_serve_also"}


def test_version_is_that_of_the_distribution() -> None:
    assert oxipickle.__version__ == importlib.metadata.version("oxipickle")


def test_default_protocol_is_the_native_one() -> None:
    assert oxipickle.dumps(None)[1] == oxipickle.DEFAULT_PROTOCOL
    assert oxipickle.dumps(None, -1)[1] == oxipickle.HIGHEST_PROTOCOL


# --- install and uninstall


def test_install_replaces_what_it_says_and_uninstall_puts_it_back() -> None:
    stock = {name: getattr(pickle, name) for name in NAMES}
    assert not oxipickle.installed()
    oxipickle.install()
    assert oxipickle.installed()
    assert is_ours()
    import _pickle

    assert _pickle is native
    oxipickle.uninstall()
    assert not oxipickle.installed()
    assert {name: getattr(pickle, name) for name in NAMES} == stock


def test_installed_pickle_round_trips() -> None:
    value = {"list": [1, 2.5, "three"], "class": pickle.PickleError}
    stock = pickle.dumps(value)
    with oxipickle.activated():
        assert pickle.dumps(value) == stock
        assert pickle.loads(stock) == value
        file = io.BytesIO()
        pickle.Pickler(file).dump(value)
        file.seek(0)
        assert pickle.Unpickler(file).load() == value


def test_twice_is_once() -> None:
    oxipickle.install()
    during = snapshot()
    oxipickle.install()
    assert snapshot() == during
    oxipickle.uninstall()
    before = snapshot()
    oxipickle.uninstall()
    assert snapshot() == before


@pytest.mark.parametrize("first", ["import pickle", "import _pickle", "pass"])
@pytest.mark.parametrize("second", ["import pickle", "import _pickle", "pass"])
def test_any_order_of_imports(first: str, second: str) -> None:
    in_fresh_interpreter(
        f"""
        {first}
        import oxipickle
        {second}
        oxipickle.install()
        import pickle, sys
        native = oxipickle._pickle
        assert oxipickle.installed()
        for name in {NAMES!r}:
            assert getattr(pickle, name) is getattr(native, name), name
        # An import from now on finds ours, and derives from ours.
        from pickle import dumps
        from multiprocessing.reduction import ForkingPickler
        assert dumps is native.dumps
        assert issubclass(ForkingPickler, native.Pickler)
        oxipickle.uninstall()
        stock = oxipickle.activation.interpreter_pickle()
        assert sys.modules["_pickle"] is stock
        for name in {NAMES!r}:
            assert getattr(pickle, name) is getattr(stock, name), name
        """
    )


@pytest.mark.parametrize("early", [True, False])
def test_pickle_buffer_stays_the_interpreters_and_both_are_taken(early: bool) -> None:
    in_fresh_interpreter(
        f"""
        import oxipickle
        if {early}:
            import pickle
        stock = oxipickle.activation.interpreter_pickle()
        oxipickle.install()
        import io, pickle
        assert pickle.PickleBuffer is stock.PickleBuffer
        expected = stock.dumps(stock.PickleBuffer(b"abc"), 5)
        for kind in (stock.PickleBuffer, oxipickle.PickleBuffer):
            assert pickle.dumps(kind(b"abc"), 5) == expected
            file = io.BytesIO()
            pickle._Pickler(file, 5).dump(kind(b"abc"))
            assert stock.loads(file.getvalue()) == b"abc"
        oxipickle.uninstall()
        assert oxipickle.PickleBuffer not in pickle._Pickler.dispatch
        assert pickle._Pickler.dispatch[stock.PickleBuffer]
        """
    )


def test_put_in_by_hand_before_the_first_import() -> None:
    in_fresh_interpreter(
        """
        import sys
        import oxipickle._pickle
        stock = sys.modules["_pickle"]
        sys.modules["_pickle"] = oxipickle._pickle
        import pickle
        assert oxipickle.installed()
        oxipickle.install()
        assert oxipickle.installed()
        oxipickle.uninstall()
        assert sys.modules["_pickle"] is stock
        assert pickle.dumps is stock.dumps
        assert pickle.Pickler is stock.Pickler
        """
    )


# --- other people's replacements


def other_dumps(obj: object, protocol: int | None = None) -> bytes:
    return b"other"


def test_what_was_found_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle, "dumps", other_dumps)
    oxipickle.install()
    assert pickle.dumps is native.dumps
    oxipickle.uninstall()
    assert pickle.dumps is other_dumps


def test_replaced_by_others_since_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle, "dumps", pickle.dumps)  # to be put back at the end
    oxipickle.install()
    pickle.dumps = other_dumps
    assert not oxipickle.installed()
    with pytest.warns(RuntimeWarning, match=r"somebody else has replaced .*: pickle\.dumps$"):
        oxipickle.uninstall()
    assert pickle.dumps is other_dumps
    assert pickle.loads is not native.loads


def test_install_again_over_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle, "dumps", pickle.dumps)
    oxipickle.install()
    pickle.dumps = other_dumps
    oxipickle.install()
    assert oxipickle.installed()
    oxipickle.uninstall()
    assert pickle.dumps is other_dumps


def test_another_accelerator_in_place_first() -> None:
    in_fresh_interpreter(
        """
        import sys, types
        import _pickle as stock
        other = types.ModuleType("_pickle")
        vars(other).update({n: v for n, v in vars(stock).items() if not n.startswith("__")})
        sys.modules["_pickle"] = other
        import oxipickle
        found = oxipickle.activation.interpreter_pickle()
        assert found is not other and found is not oxipickle._pickle
        assert found.loads(found.dumps([1])) == [1]
        assert sys.modules["_pickle"] is other
        oxipickle.install()
        assert oxipickle.installed()
        oxipickle.uninstall()
        assert sys.modules["_pickle"] is other
        """
    )


def test_without_a_stock_accelerator() -> None:
    """Blocked as a test-suite blocks it; the pure-Python `pickle` has its own exceptions then."""
    in_fresh_interpreter(
        """
        import sys
        sys.modules["_pickle"] = None
        import oxipickle, pickle
        assert pickle.dumps is pickle._dumps
        assert oxipickle.loads(oxipickle.dumps([1, "a"])) == [1, "a"]
        try:
            oxipickle.install()
        except RuntimeError as error:
            assert "PickleError" in str(error)
        else:
            raise AssertionError("installed")
        assert pickle.dumps is pickle._dumps
        assert sys.modules["_pickle"] is None
        assert not oxipickle.installed()
        """
    )


# --- never half


def test_foreign_exceptions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle, "PicklingError", type("PicklingError", (Exception,), {}))
    before = snapshot()
    with pytest.raises(RuntimeError, match=r"pickle\.PicklingError"):
        oxipickle.install()
    assert snapshot() == before
    assert not oxipickle.installed()


class RefusingDict(dict[object, object]):
    def __setitem__(self, key: object, value: object) -> None:
        raise KeyboardInterrupt


def test_failure_in_the_middle_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle._Pickler, "dispatch", RefusingDict(pickle._Pickler.dispatch))
    before = snapshot()
    for attempt in (oxipickle.install, oxipickle.activated().__enter__):
        with pytest.raises(KeyboardInterrupt):
            attempt()
        assert snapshot() == before
    assert activation._replaced == {}


# --- activated


def test_activated_is_undone_after_an_exception() -> None:
    def fail() -> None:
        with oxipickle.activated():
            assert oxipickle.installed()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not oxipickle.installed()


def test_activated_nests() -> None:
    with oxipickle.activated():
        with oxipickle.activated():
            pass
        assert oxipickle.installed()
    assert not oxipickle.installed()


def test_activated_within_install_leaves_it_installed() -> None:
    oxipickle.install()
    with oxipickle.activated():
        pass
    assert oxipickle.installed()


def test_install_within_activated_stays() -> None:
    with oxipickle.activated():
        oxipickle.install()
    assert oxipickle.installed()


def test_uninstall_within_activated_is_at_once() -> None:
    with oxipickle.activated():
        oxipickle.uninstall()
        assert not oxipickle.installed()
    assert not oxipickle.installed()


def test_activated_overlapping_in_two_threads() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with oxipickle.activated():
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=hold)
    with oxipickle.activated():
        thread.start()
        assert entered.wait(30)
    assert oxipickle.installed()  # the other thread's block has not ended
    leave.set()
    thread.join()
    assert not oxipickle.installed()


def test_activated_as_decorator() -> None:
    @oxipickle.activated()
    def decorated() -> bool:
        return oxipickle.installed()

    assert decorated()
    assert not oxipickle.installed()


def test_threads_install_and_uninstall_at_once() -> None:
    faults: list[BaseException] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        try:
            start.wait(30)
            for _ in range(200):
                if number % 2:
                    with oxipickle.activated():
                        assert pickle.loads(pickle.dumps([number])) == [number]
                else:
                    oxipickle.install()
                    assert pickle.loads(pickle.dumps([number])) == [number]
                    oxipickle.uninstall()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert not oxipickle.installed()
    assert activation._holders == 0
