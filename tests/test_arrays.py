"""NumPy's arrays, of which the second of a dtype and those after it are written without NumPy (`src/object/array.rs`).

The bytes are those that C writes for what NumPy gives it, whatever happens to arrays, classes, modules or the
memo between two of them.
"""

from __future__ import annotations

import copyreg
import gc
import io
import itertools
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

from support import PROTOCOLS, Recorder, attempt, c, ox, same_error

np = pytest.importorskip("numpy", reason="no wheel of NumPy for this Python")

DTYPES = ["?", "i1", "u2", "f4", "f8", "c16", "O", "S3", "U5", "M8[ns]", ">i4", "i4,f8", "V7"]
SHAPES = [(), (3,), (0,), (2, 3), (5, 0), (2, 3, 4), (1, 2, 3, 4), (1,) * 8, (1,) * 9, (300, 3)]

#: Where CPython's `pickle` is, which NumPy asks for PickleBuffer.
NUMERIC = sys.modules.get("numpy._core.numeric") or sys.modules["numpy.core.numeric"]


def alike(dtype: str, shape: tuple[int, ...]) -> list[Any]:
    """Arrays of one dtype that differ in order, in flags and in what they are views of."""
    plain = [np.zeros(shape, dtype) for _ in range(3)]
    plain[1].flags.writeable = False
    turned = [np.asfortranarray(array) for array in plain]
    parts = [array[::2] for array in plain if array.ndim]
    swapped = [array.T for array in plain]
    own = [array.view(Own) for array in plain]
    return [*plain, *turned, *parts, *swapped, *own, *plain]


class Own(np.ndarray):  # type: ignore[misc]
    pass


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_have_the_bytes_of_c(dtype: str, protocol: int) -> None:
    for shape in SHAPES:
        arrays = alike(dtype, shape)
        assert ox.dumps(arrays, protocol) == c.dumps(arrays, protocol), shape


def test_dtypes_may_alternate() -> None:
    dtypes = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "?"]
    arrays = [np.ones(3, dtype) for _ in range(3) for dtype in dtypes]
    arrays += [np.ones(3, np.dtype(dtype).newbyteorder()) for dtype in dtypes]
    assert ox.dumps(arrays, 5) == c.dumps(arrays, 5)


@pytest.mark.skipif(bool(os.environ.get("OXIPICKLE_WITHOUT")), reason="without what is tested")
def test_numpy_is_asked_once_for_each_dtype() -> None:
    arrays = [np.arange(n, n + 5, dtype=dtype) for n in range(3) for dtype in ("i8", "f4")]
    pickler = ox.Pickler(io.BytesIO(), 5)
    pickler.dump(arrays)
    memo = [item for _, item in pickler.memo.copy().values()]
    # What C memoises of the others is an index here.
    assert sum(type(item) is pickle.PickleBuffer for item in memo) == 2
    assert sum(item is array for item in memo for array in arrays) == len(arrays)


def test_an_array_that_comes_again_is_the_same_array() -> None:
    array, other = np.arange(3), np.arange(3)
    items = [array, other, array, other, (other, [array])]
    assert ox.dumps(items, 5) == c.dumps(items, 5)
    again = ox.loads(ox.dumps(items, 5))
    assert again[0] is again[2] is again[4][1][0]
    assert again[1] is again[3] is again[4][0]


def test_frames_end_inside_arrays_as_in_c() -> None:
    arrays = [np.arange(n, dtype="i2") for n in (2, 40, 300)]
    for room in range(600):
        items = [np.zeros(1, "i2"), b"x" * (0xFF00 - room), *arrays, np.zeros((2, 1, 1, 2), "i2")]
        assert ox.dumps(items, 5) == c.dumps(items, 5), room


def test_a_file_gets_the_same_writes() -> None:
    sizes = [10, 5_000, 8_191, 8_192, 20_000]
    for count in range(1, 30, 4):
        arrays = [np.arange(sizes[n % 5] + n, dtype="f8") for n in range(count)]
        arrays += [np.arange(3.0) for _ in range(count * 100)]
        writes = []
        for mod in (ox, c):
            file = Recorder()
            mod.dump(arrays, file, 5)
            writes.append(file.calls)
        assert writes[0] == writes[1]


def test_out_of_band_each_array_is_offered() -> None:
    arrays = [np.arange(n, n + 3) for n in range(5)]
    for answers in itertools.product((True, False), repeat=2):
        outcomes = []
        for mod in (ox, c):
            seen: list[bytes] = []
            answer = itertools.cycle(answers)

            def callback(buffer: Any, seen: Any = seen, answer: Any = answer) -> bool:
                seen.append(bytes(buffer))
                return next(answer)

            outcomes.append((mod.dumps(arrays, 5, buffer_callback=callback), seen))
        assert outcomes[0] == outcomes[1]


class Act:
    """Does something in the middle of a dump."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def __reduce__(self) -> tuple[Any, ...]:
        self.act()
        return int, ()


def both(scene: Callable[[Any], bytes]) -> None:
    """The same scene, with ours and with C's, has the same end."""
    theirs, ours = attempt(lambda: scene(c)), attempt(lambda: scene(ox))
    if isinstance(theirs, bytes):
        assert ours == theirs
    else:
        assert same_error(ours, theirs)


def arrays() -> list[Any]:
    return [np.arange(n, n + 4) for n in range(6)]


def test_a_reducer_registered_in_the_middle_is_asked() -> None:
    def scene(mod: Any) -> bytes:
        first, second, *rest = arrays()
        act = Act(lambda: copyreg.pickle(np.ndarray, lambda array: (list, (array.tolist(),))))
        try:
            return mod.dumps([first, second, act, *rest], 5)  # type: ignore[no-any-return]
        finally:
            copyreg.dispatch_table.pop(np.ndarray, None)

    both(scene)


@pytest.mark.parametrize("module, name", [(NUMERIC, "_frombuffer"), (pickle, "PickleBuffer")])
def test_what_numpy_looks_up_may_be_replaced_in_the_middle(
    module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scene(mod: Any) -> bytes:
        first, second, *rest = arrays()
        with monkeypatch.context() as patch:
            act = Act(lambda: patch.setattr(module, name, print))
            return mod.dumps([first, second, act, *rest], 5)  # type: ignore[no-any-return]

    both(scene)


def test_a_memo_cleared_in_the_middle_knows_no_parts() -> None:
    def scene(mod: Any) -> bytes:
        file = io.BytesIO()
        pickler = mod.Pickler(file, 5)
        first, second, *rest = arrays()
        pickler.dump([first, second, Act(pickler.clear_memo), *rest])
        return file.getvalue()

    both(scene)


@pytest.mark.parametrize(
    "change",
    [
        lambda array: setattr(array.flags, "writeable", False),
        lambda array: array.resize(2, refcheck=False),
        lambda array: array.fill(-1),
        lambda array: array.sort(),
    ],
    ids=["readonly", "resize", "fill", "sort"],
)
def test_an_array_may_change_in_the_middle(change: Callable[[Any], Any]) -> None:
    def scene(mod: Any) -> bytes:
        first, second, third, *rest = arrays()
        act = Act(lambda: change(third))
        return mod.dumps([first, second, act, third, *rest], 5)  # type: ignore[no-any-return]

    both(scene)


def test_a_pickler_with_a_hook_is_asked_about_each() -> None:
    def persistent(mod: Any) -> type:
        class WithIds(mod.Pickler):  # type: ignore[misc]
            def persistent_id(self, obj: Any) -> Any:
                return "array" if isinstance(obj, np.ndarray) and obj[0] == 3 else None

        return WithIds

    def overriding(mod: Any) -> type:
        class Overriding(mod.Pickler):  # type: ignore[misc]
            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, np.ndarray) and obj[0] == 3:
                    return list, (obj.tolist(),)
                return NotImplemented

        return Overriding

    def dispatching(mod: Any) -> type:
        class Dispatching(mod.Pickler):  # type: ignore[misc]
            dispatch_table = {np.ndarray: lambda array: (list, (array.tolist(),))}

        return Dispatching

    for make in (persistent, overriding, dispatching):

        def scene(mod: Any, make: Any = make) -> bytes:
            file = io.BytesIO()
            make(mod)(file, 5).dump(arrays())
            return file.getvalue()

        both(scene)


@pytest.mark.parametrize("at", range(1, 6))
@pytest.mark.parametrize("what", ["registers", "function", "wrapper", "readonly", "clear"])
def test_a_hook_changes_what_comes_after(
    what: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scene(mod: Any) -> bytes:
        items = arrays()

        class Changing(mod.Pickler):  # type: ignore[misc]
            seen = 0

            def reducer_override(self, obj: Any) -> Any:
                if isinstance(obj, np.ndarray):
                    self.seen += 1
                    if self.seen == at:
                        change(self)
                return NotImplemented

        def change(pickler: Any) -> None:
            if what == "registers":
                copyreg.pickle(np.ndarray, lambda array: (list, (array.tolist(),)))
            elif what == "function":
                patch.setattr(NUMERIC, "_frombuffer", print)
            elif what == "wrapper":
                patch.setattr(pickle, "PickleBuffer", bytes)
            elif what == "readonly":
                items[at - 1].flags.writeable = False
                items[at].flags.writeable = False
            else:
                items.clear()

        file = io.BytesIO()
        with monkeypatch.context() as patch:
            try:
                Changing(file, 5).dump(items)
            finally:
                copyreg.dispatch_table.pop(np.ndarray, None)
        return file.getvalue()

    both(scene)


def test_nothing_is_kept_of_arrays_after_a_dump() -> None:
    def held() -> int:
        gc.collect()
        return sys.getrefcount(np.dtype("i8")) + sys.getrefcount(NUMERIC._frombuffer)

    before = held()
    for _ in range(100):
        ox.dumps(arrays(), 5)
        with pytest.raises(TypeError):
            ox.dumps([*arrays(), (n for n in ())], 5)
    assert held() < before + 10
