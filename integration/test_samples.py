"""Objects of libraries: the bytes are those of C `_pickle`, and each side loads the other's.

Both engines are called by name, so it does not matter which one is switched on.
"""

import pathlib
from typing import Any

import attrs
import oxipickle
import pytest
from oxipickle.activation import interpreter_pickle

C = interpreter_pickle()


@attrs.define
class Slotted:
    name: str
    values: list[int] = attrs.field(factory=list)


@attrs.frozen
class Frozen:
    inner: Slotted
    number: float = 1.5


@attrs.define(slots=False, eq=True)
class WithDict:
    one: Any = None


def numpy_objects(folder: pathlib.Path) -> dict[str, Any]:
    import numpy as np

    mapped = np.memmap(folder / "mapped", dtype="i4", mode="w+", shape=(10,))
    mapped[:] = range(10)
    structured = np.zeros(3, dtype=[("a", "i4"), ("b", "f8", (2,)), ("c", "U3")])
    return {
        "contiguous": np.arange(1000.0),
        "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
        "strided": np.arange(100)[::3],
        "empty": np.zeros((0, 3)),
        "scalar": np.float32(1.5),
        "structured": structured,
        "record": structured[1],
        "object": np.array([1, "two", [3]], dtype=object),
        "text": np.array(["a", "bcd"]),
        "dates": np.array(["2026-01-01"], dtype="M8[D]"),
        "masked": np.ma.masked_array([1, 2, 3], mask=[0, 1, 0]),
        "memmap": mapped,
        "generator": np.random.default_rng(7),
    }


def pandas_objects() -> dict[str, Any]:
    import pandas as pd

    frame = pd.DataFrame({"a": range(50), "b": [f"text {n}" for n in range(50)]})
    return {
        "frame": frame,
        "categories": frame.assign(b=frame["b"].astype("category")),
        "times": pd.Series(range(3), index=pd.date_range("2026-01-01", periods=3, tz="UTC")),
        "multi": frame.set_index(["a", "b"], append=True),
        "interval": pd.interval_range(0, 3),
    }


def agree(value: Any, protocol: int) -> Any:
    ours = oxipickle.dumps(value, protocol)
    theirs = C.dumps(value, protocol)
    assert ours == theirs
    C.loads(ours)
    return oxipickle.loads(theirs)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [Slotted("a", [1, 2]), Frozen(Slotted("b")), WithDict([Frozen(Slotted("c"), 2.0)])],
    ids=lambda value: type(value).__name__,
)
def test_attrs(value: Any, protocol: int) -> None:
    if protocol < 2 and not isinstance(value, WithDict):
        errors = []
        for module in (oxipickle, C):
            try:
                errors.append(module.dumps(value, protocol))
            except TypeError as error:
                errors.append(str(error))
        assert errors[0] == errors[1]
        return
    if protocol < 2:
        value = WithDict([1])
    assert agree(value, protocol) == value


@pytest.mark.parametrize("protocol", range(6))
def test_numpy(tmp_path: pathlib.Path, protocol: int) -> None:
    np = pytest.importorskip("numpy", reason="NumPy is not installed")
    for name, value in numpy_objects(tmp_path).items():
        loaded = agree(value, protocol)
        if name == "generator":
            assert loaded.bit_generator.state == value.bit_generator.state
        else:
            assert np.array_equal(np.asarray(loaded), np.asarray(value)), name
            assert loaded.dtype == value.dtype, name


def test_numpy_out_of_band(tmp_path: pathlib.Path) -> None:
    np = pytest.importorskip("numpy", reason="NumPy is not installed")
    value = [one for one in numpy_objects(tmp_path).values() if isinstance(one, np.ndarray)]
    results = []
    for module in (oxipickle, C):
        buffers: list[Any] = []
        data = module.dumps(value, 5, buffer_callback=buffers.append)
        results.append((data, [bytes(one.raw()) for one in buffers]))
    assert results[0] == results[1]
    data, raw = results[0]
    assert raw
    for module in (oxipickle, C):
        for loaded, before in zip(module.loads(data, buffers=raw), value, strict=True):
            assert np.array_equal(loaded, before)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pandas(protocol: int) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    for name, value in pandas_objects().items():
        loaded = agree(value, protocol)
        assert loaded.equals(value), name


def test_scikit_learn() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = make_classification(60, random_state=1)
    for model in (
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(5, random_state=1),
    ):
        model.fit(x, y)
        loaded = agree(model, 5)
        assert (loaded.predict_proba(x) == model.predict_proba(x)).all()


def test_multiprocess_on_dill() -> None:
    """It derives from the pure-Python classes and has to go on working."""
    multiprocess = pytest.importorskip("multiprocess", reason="multiprocess is not installed")
    oxipickle.install()
    try:
        with multiprocess.get_context("spawn").Pool(1) as pool:
            scale = 3
            assert pool.map(lambda number: scale * number, range(5)) == [0, 3, 6, 9, 12]
    finally:
        oxipickle.uninstall()


def test_torch(tmp_path: pathlib.Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: its wheel is large")
    value = {"weights": torch.arange(12.0).reshape(3, 4), "step": 3}
    file = tmp_path / "saved.pt"
    for save, load in ((oxipickle, None), (None, oxipickle), (oxipickle, oxipickle)):
        for module, action in ((save, "save"), (load, "load")):
            if module is not None:
                oxipickle.install()
            try:
                if action == "save":
                    torch.save(value, file)
                else:
                    got = torch.load(file, weights_only=False)
            finally:
                oxipickle.uninstall()
        assert got["step"] == 3 and torch.equal(got["weights"], value["weights"])
