"""Threads: objects that are saved in one thread and changed in another, tables that are replaced
meanwhile, one Pickler or Unpickler in several threads.

The issues of CPython's tracker that carry a number crash free-threaded builds of `_pickle`; here a
thread switch is forced often, so that each comes up with a GIL as far as it can. What is asked for
is no crash, no corrupt stream and no exception but those that a lone thread gets for such a change.
Each race runs for a fixed number of rounds; nothing here depends on which thread is first.
"""

from __future__ import annotations

import contextlib
import copyreg
import io
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import PROTOCOLS, PY, attempt, c, child_ok, ox

#: Whether this interpreter can run without a GIL.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

WORKERS = 4
ROUNDS = 500


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def race(work: Callable[[int], Any], disturb: Callable[[int], Any] | None = None) -> list[Any]:
    """Run *work* in several threads while *disturb* runs in another; what *work* returned.

    Any exception of either is raised here.
    """
    results: list[Any] = []
    errors: list[BaseException] = []
    running = threading.Event()
    running.set()
    start = threading.Barrier(WORKERS + (disturb is not None))

    def worker() -> None:
        try:
            start.wait()
            for i in range(ROUNDS):
                results.append(work(i))
        except BaseException as error:
            errors.append(error)

    def disturber() -> None:
        try:
            start.wait()
            i = 0
            while running.is_set():
                disturb(i)  # type: ignore[misc]
                i += 1
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=worker) for _ in range(WORKERS)]
    other = threading.Thread(target=disturber)
    for thread in workers:
        thread.start()
    if disturb is not None:
        other.start()
    for thread in workers:
        thread.join()
    running.clear()
    if disturb is not None:
        other.join()
    if errors:
        raise errors[0]
    assert len(results) == WORKERS * ROUNDS
    return results


class Slow:
    """Gives other threads a chance in the middle of a dump."""

    def __init__(self, tag: int = 0) -> None:
        self.tag = tag

    def __reduce__(self) -> Any:
        for _ in range(5):
            pass
        return Slow, (self.tag,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slow) and self.tag == other.tag

    __hash__ = None  # type: ignore[assignment]


class Plain:
    def __init__(self) -> None:
        self.a = [1]
        self.b = Slow()
        self.c = {"k": (1, 2)}


# --- no sharing: the engine's own state -------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_thread_has_a_dump_and_a_load_of_its_own(protocol: int) -> None:
    """What is kept between calls serves one at a time."""
    obj = [{"k": [Slow(i), (i, "text" * 20)]} for i in range(10)]
    expected = c.dumps(obj, protocol)

    def work(i: int) -> bool:
        stream = ox.dumps(obj, protocol)
        return stream == expected and ox.loads(stream) == obj

    assert all(race(work))


def test_many_picklers_at_once() -> None:
    shared = ["shared", {"k": Slow()}]
    expected = c.dumps(shared)

    def work(i: int) -> bool:
        out = io.BytesIO()
        pickler = ox.Pickler(out)
        pickler.dump(shared)
        pickler.clear_memo()
        pickler.dump(shared)
        unpickler = ox.Unpickler(io.BytesIO(out.getvalue()))
        return out.getvalue() == 2 * expected and unpickler.load() == unpickler.load() == shared

    assert all(race(work))


def test_errors_in_threads_stay_in_their_threads() -> None:
    class Fails:
        def __init__(self, number: int) -> None:
            self.number = number

        def __reduce__(self) -> Any:
            raise LookupError(self.number)

    def work(i: int) -> bool:
        outcome = attempt(ox.dumps, [Slow(), {i: Fails(i)}])
        broken = attempt(ox.loads, b"\x80\x04](K\x01K\x02\x93.")
        return outcome[:2] == (LookupError, str(i)) and broken.type is c.UnpicklingError

    assert all(race(work))


# --- the objects that are saved are shared ----------------------------------------------------

#: What a container that changes its size may raise; any stream that comes out must load.
CHANGED = "changed size during iteration|keys changed during iteration"


def survives(obj: Any, protocol: int = 4) -> bool:
    try:
        stream = ox.dumps(obj, protocol)
    except RuntimeError as error:
        assert any(text in str(error) for text in CHANGED.split("|")), error
        return True
    c.loads(stream)
    return True


def test_gh_149816_list_changed_by_another_thread() -> None:
    shared: list[Any] = [[i, Slow(i)] for i in range(50)]

    def disturb(i: int) -> None:
        shared.append([i, Slow(i)])
        shared.insert(0, ["first"])
        del shared[10:]
        shared.extend([j] for j in range(40))

    assert all(race(lambda i: survives(shared), disturb))


def test_gh_146452_dict_changed_by_another_thread() -> None:
    """gh-146452 and its like: a dict that grows, shrinks and is cleared."""
    shared: dict[Any, Any] = {i: [Slow(i)] for i in range(30)}

    def disturb(i: int) -> None:
        shared[f"new {i % 100}"] = [i]
        shared.pop(i % 30, None)
        shared[i % 30] = [Slow(i)]
        if i % 50 == 0:
            shared.clear()

    assert all(race(lambda i: survives(shared), disturb))


def test_set_changed_by_another_thread() -> None:
    shared: set[Any] = set(range(30))

    def disturb(i: int) -> None:
        shared.add(("new", i % 50))
        shared.discard(i % 30)
        shared.add(i % 30)

    assert all(race(lambda i: survives([shared, Slow()]), disturb))


def test_instance_changed_by_another_thread() -> None:
    shared = Plain()

    def disturb(i: int) -> None:
        shared.a = [i]
        setattr(shared, f"x{i % 20}", [i])
        shared.__dict__.pop(f"x{(i + 7) % 20}", None)
        if i % 10 == 0:
            shared.__dict__ = {"a": [1], "b": Slow(), "c": {}}

    assert all(race(lambda i: survives([shared, Slow(), shared]), disturb))


def test_bytearray_changed_by_another_thread() -> None:
    shared = bytearray(b"x" * 1000)

    def disturb(i: int) -> None:
        with contextlib.suppress(BufferError):  # held while it is copied
            shared.extend(b"y" * 1000)
            del shared[500:]

    for protocol in (2, 4, 5):
        assert all(race(lambda i: survives([shared, Slow()], protocol), disturb))


# --- the tables are shared --------------------------------------------------------------------


class Target:
    pass


def reduce_target(obj: Any) -> Any:
    return Target, ()


def test_gh_157119_dispatch_table_replaced() -> None:
    """The reducer that runs has been taken out of `copyreg.dispatch_table` and freed."""

    class Reducer:
        def __call__(self, obj: Any) -> Any:
            return Target, ()

    def disturb(i: int) -> None:
        copyreg.dispatch_table[Target] = Reducer()

    disturb(0)
    expected = c.dumps([Target(), Target()])
    assert all(race(lambda i: ox.dumps([Target(), Target()]) == expected, disturb))


def test_gh_157119_private_dispatch_table_replaced() -> None:
    pickler_of = threading.local()

    def work(i: int) -> bool:
        out = io.BytesIO()
        pickler = pickler_of.value = ox.Pickler(out)
        current.append(pickler)
        pickler.dispatch_table = {Target: reduce_target}
        pickler.dump([Target(), Slow(), Target()])
        return len(c.loads(out.getvalue())) == 3

    current: list[Any] = []

    def disturb(i: int) -> None:
        if current:
            pickler = current[-1]
            pickler.dispatch_table = {Target: lambda obj: (Target, ())}

    assert all(race(work, disturb))


@pytest.mark.parametrize("table", ["NAME_MAPPING", "REVERSE_IMPORT_MAPPING", "IMPORT_MAPPING"])
def test_gh_157122_gh_157123_compat_maps_changed(table: str) -> None:
    import _compat_pickle

    mapping = getattr(_compat_pickle, table)
    saved = dict(mapping)

    def disturb(i: int) -> None:
        key = ("no_module", f"name{i % 50}") if table == "NAME_MAPPING" else f"no_module{i % 50}"
        mapping[key] = ("other", "name") if table == "NAME_MAPPING" else "other"
        mapping.pop(key, None)

    expected = c.dumps([range(3), Exception], 2)

    def work(i: int) -> bool:
        stream = ox.dumps([range(3), Exception], 2)
        return stream == expected and ox.loads(stream) == [range(3), Exception]

    try:
        assert all(race(work, disturb))
    finally:
        mapping.clear()
        mapping.update(saved)


def test_gh_157124_build_with_a_shared_state() -> None:
    """BUILD walks a dict that another thread changes: it is reached through persistent_load."""
    state: dict[str, Any] = {f"a{i}": i for i in range(20)}
    stream = b"\x80\x02c" + __name__.encode() + b"\nTarget\n)\x81K\x01Qb."

    class U(ox.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            return state

    def disturb(i: int) -> None:
        state[f"b{i % 30}"] = i
        state.pop(f"b{(i + 11) % 30}", None)

    def work(i: int) -> bool:
        try:
            loaded = U(io.BytesIO(stream)).load()
        except RuntimeError as error:
            assert "changed size during iteration" in str(error)
            return True
        return type(loaded) is Target and loaded.a0 == 0

    assert all(race(work, disturb))


def test_gh_157125_extension_registry_changed() -> None:
    code = 0xEE01

    def disturb(i: int) -> None:
        copyreg.add_extension(__name__, "Target", code)
        copyreg.remove_extension(__name__, "Target", code)
        copyreg.clear_extension_cache()

    def work(i: int) -> bool:
        stream = ox.dumps(Target, 4)
        found = attempt(ox.loads, stream)
        # The code may have been taken back between the two.
        return found is Target or "unregistered extension code" in found.text

    assert all(race(work, disturb))


def test_modules_appear_and_vanish_while_one_is_searched() -> None:
    """A function without `__module__` is looked for in every module."""
    import types

    module = types.ModuleType("has_the_function")

    def function() -> None:
        pass

    function.__module__ = None  # type: ignore[assignment]
    function.__qualname__ = function.__name__ = "function"
    module.function = function  # type: ignore[attr-defined]

    def disturb(i: int) -> None:
        name = f"passing_module_{i % 20}"
        sys.modules[name] = types.ModuleType(name)
        sys.modules.pop(f"passing_module_{(i + 3) % 20}", None)

    sys.modules["has_the_function"] = module
    try:
        expected = c.dumps(function)
        assert all(race(lambda i: ox.dumps(function) == expected, disturb))
    finally:
        for name in [name for name in sys.modules if name.startswith("passing_module_")]:
            del sys.modules[name]
        del sys.modules["has_the_function"]


# --- one Pickler or Unpickler is shared -------------------------------------------------------


def refused(error: RuntimeError) -> bool:
    assert str(error) in ("Pickler object is already used", "Unpickler object is already used")
    return True


def test_one_pickler_in_several_threads() -> None:
    """gh-143638: a dump that finds another one running is refused; the output stays whole."""
    out = io.BytesIO()
    pickler = ox.Pickler(out)
    obj = [Slow(i) for i in range(20)]

    def work(i: int) -> bool:
        try:
            pickler.dump(obj)
        except RuntimeError as error:
            return refused(error)
        return True

    assert all(race(work, lambda i: pickler.clear_memo()))
    # Whole pickles stand one after the other, whose GETs may miss what was cleared.
    starts = out.getvalue().count(b"\x80\x04\x95") + out.getvalue().count(b"\x80\x05\x95")
    assert starts >= 1


def test_one_unpickler_in_several_threads() -> None:
    stream = c.dumps([Slow(i) for i in range(20)])
    unpickler = ox.Unpickler(io.BytesIO(stream * (WORKERS * ROUNDS)))

    def work(i: int) -> bool:
        try:
            return len(unpickler.load()) == 20
        except RuntimeError as error:
            return refused(error)

    assert all(race(work))


def test_gh_150505_gh_157126_memo_setters() -> None:
    """The memo is read, replaced and cleared while a dump or load runs on it."""
    out, shared = io.BytesIO(), [Slow(i) for i in range(10)]
    pickler, unpickler = ox.Pickler(out), ox.Unpickler(io.BytesIO())
    other = ox.Unpickler(io.BytesIO(b"]\x94]\x94\x86."))
    other.load()

    def disturb(i: int) -> None:
        pickler.memo = pickler.memo.copy()
        pickler.memo = pickler.memo
        pickler.memo = {}
        unpickler.memo = other.memo
        unpickler.memo = {}
        unpickler.memo.clear()

    def work(i: int) -> bool:
        for action in (
            lambda: pickler.dump(shared),
            lambda: unpickler.memo.copy(),
            lambda: pickler.memo.copy(),
            lambda: pickler.__sizeof__() + unpickler.__sizeof__(),
        ):
            try:
                action()
            except RuntimeError as error:
                assert refused(error)
        return True

    assert all(race(work, disturb))


def test_init_while_another_thread_dumps() -> None:
    pickler = ox.Pickler(io.BytesIO())

    def work(i: int) -> bool:
        try:
            pickler.dump([Slow(), ["x"]])
        except RuntimeError as error:
            return refused(error)
        return True

    def disturb(i: int) -> None:
        try:
            pickler.__init__(io.BytesIO(), i % 6)
        except RuntimeError as error:
            assert refused(error)

    assert all(race(work, disturb))


def test_pickle_buffer_released_by_another_thread() -> None:
    def work(i: int) -> bool:
        buffer = ox.PickleBuffer(bytearray(b"x" * 100))
        current.append(buffer)
        outcome = attempt(ox.dumps, [Slow(), buffer], 5)
        if isinstance(outcome, bytes):
            return c.loads(outcome)[1] == b"x" * 100
        return outcome.type is ValueError

    current: list[Any] = []

    def disturb(i: int) -> None:
        if current:
            current[-1].release()

    assert all(race(work, disturb))


STRESS = """
import io, sys, threading, time
from support import c, ox

sys.setswitchinterval(1e-5)
SECONDS = float(sys.argv[1])

class Plain:
    def __init__(self, i):
        self.i = i
        self.items = [i, {"k": (i, str(i))}]
    def __eq__(self, other):
        return vars(self) == vars(other)

class Slow(Plain):
    def __reduce__(self):
        return Slow, (self.i,)

shared = [[Plain(i), Slow(i), {i: [i]}, "text" * i] for i in range(40)]
changing = {"list": [Plain(0)], "dict": {}}
expected = {p: c.dumps(shared, p) for p in range(6)}
stream = expected[2] * 50  # with PUT: MEMOIZE counts on from one pickle of a file to the next
pickler = ox.Pickler(io.BytesIO())
unpickler = ox.Unpickler(io.BytesIO(stream))
end = time.monotonic() + SECONDS
failed, rounds, refused = [], [0] * 8, [0] * 8

def once(number, i):
    protocol = i % 6
    if number < 3:
        assert ox.dumps(shared, protocol) == expected[protocol], "wrong bytes"
        assert ox.loads(expected[protocol]) == shared
    elif number < 5:
        for action in (
            lambda: pickler.dump(shared),
            lambda: pickler.__init__(io.BytesIO(), protocol),
            lambda: pickler.clear_memo(),
            lambda: setattr(pickler, "memo", pickler.memo.copy()),
        ):
            try:
                action()
            except RuntimeError as error:
                assert str(error) == "Pickler object is already used"
                refused[number] += 1
    elif number < 7:
        try:
            assert unpickler.load() == shared, "another object"
        except RuntimeError as error:
            assert str(error) == "Unpickler object is already used"
            refused[number] += 1
        except EOFError:
            try:
                unpickler.__init__(io.BytesIO(stream))
            except RuntimeError:
                refused[number] += 1
    else:
        changing["list"].append(Plain(i))
        changing["dict"][i % 30] = [i]
        if i % 100 == 0:
            changing["list"].clear()
            changing["dict"].clear()
        ox.loads(ox.dumps(changing))

def work(number):
    try:
        while time.monotonic() < end and not failed:
            once(number, rounds[number])
            rounds[number] += 1
    except BaseException as error:
        failed.append((number, rounds[number], repr(error)))

threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failed, failed
assert all(rounds), rounds
assert ox.dumps(shared, 5) == expected[5]
print("refused", sum(refused))
"""


def test_eight_threads_share_objects_and_misuse_a_pickler_and_an_unpickler() -> None:
    """For some seconds on each version, about a minute in all; OXIPICKLE_STRESS sets another time."""
    seconds = os.environ.get("OXIPICKLE_STRESS", "10")
    words = child_ok(STRESS, seconds, timeout=120 + 2 * float(seconds)).split()
    assert words[0] == "refused" and int(words[1]) > 0, "nothing was misused"


SUBINTERPRETER = """
import importlib, os, sys, tempfile
import oxipickle._pickle
for name in ("_interpreters", "_xxsubinterpreters"):
    try:
        interpreters = importlib.import_module(name)
        break
    except ImportError:
        pass
program = '''
import sys
sys.path[:] = %r
try:
    import oxipickle._pickle
    text = "imported"
except ImportError as error:
    text = str(error)
import _pickle
assert _pickle.loads(_pickle.dumps([1])) == [1]
with open(%r, "w") as file:
    file.write(text)
'''
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "text")
    number = interpreters.create()
    run = getattr(interpreters, "exec", interpreters.run_string)
    found = run(number, program % (sys.path, path))
    assert found is None, found
    interpreters.destroy(number)
    print(open(path).read())
assert oxipickle._pickle.loads(oxipickle._pickle.dumps([1])) == [1]
"""


def test_a_subinterpreter_gets_an_import_error() -> None:
    """Ours, or the interpreter's own where each has a GIL of its own."""
    text = child_ok(SUBINTERPRETER)
    assert "subinterpreter" in text, text


@pytest.mark.skipif(not FREE_THREADED, reason="this interpreter always has its GIL")
@pytest.mark.parametrize("option,ends", [("0", "needs the GIL"), ("1", "imported")])
def test_without_the_gil_the_import_is_refused(option: str, ends: str) -> None:
    code = """
    import os, sys
    if sys.argv[1]:
        os.execv(sys.executable, [sys.executable, "-X", "gil=" + sys.argv[1], "-c", sys.argv[2]])
    """
    program = (
        "try:\n import oxipickle._pickle\n print('imported')\nexcept ImportError as e:\n print(e)"
    )
    assert ends in child_ok(code, option, program)


@pytest.mark.skipif(
    PY < (3, 14),
    reason="gh-87135: before 3.14 the interpreter ends daemon threads at its exit with "
    "pthread_exit, which no frame of Rust survives",
)
def test_threads_that_outlive_main() -> None:
    """A daemon thread that pickles while the interpreter shuts down harms nothing."""
    code = """
    import threading, time
    from support import ox

    class Slow:
        def __reduce__(self):
            time.sleep(0)
            return Slow, ()

    def work():
        while True:
            ox.loads(ox.dumps([Slow(), {"k": [1, 2]}] * 10))

    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.1)
    print("ok")
    """
    assert child_ok(code).strip() == "ok"
