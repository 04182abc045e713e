"""The measuring core: that it times what it says, in turns, and gives back what it changed."""

import gc
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from oxipickle import _measure, _report, _samples
from oxipickle._measure import Case, Row, Subject

pytestmark = pytest.mark.once


class Recorder:
    """A pickle that notes each call and the collector's state at that moment."""

    def __init__(self, name: str, calls: list[tuple[str, str, bool]]) -> None:
        self.name = name
        self.calls = calls

    def __getattr__(self, function: str) -> Callable[..., Any]:
        real = getattr(pickle, function)

        def call(*arguments: Any) -> Any:
            self.calls.append((self.name, function, gc.isenabled()))
            return real(*arguments)

        return call


def recorded(
    case: Case, *routes: str, seconds: float = 0.0
) -> tuple[list[Row], list[tuple[str, str, bool]]]:
    calls: list[tuple[str, str, bool]] = []
    subjects = [Subject(name, Recorder(name, calls)) for name in ("oxipickle", "C")]
    rows = _measure.measure(case, routes, subjects, protocol=5, seconds=seconds)
    return rows, calls


def test_sides_take_turns_in_alternating_order() -> None:
    # A call that is long enough for a sample by itself.
    case = Case("long", lambda: list(range(200_000)))
    rows, calls = recorded(case, "dumps")
    order = "".join("o" if name == "oxipickle" else "C" for name, _, _ in calls)
    assert order.endswith("oCCooCCooC")
    assert len(rows[0].times["oxipickle"]) == len(rows[0].times["C"]) == 5


def test_collector_is_off_while_timing_and_as_before_afterwards() -> None:
    was = gc.isenabled()
    try:
        for before in (True, False):
            (gc.enable if before else gc.disable)()
            frozen = gc.get_freeze_count()
            _, calls = recorded(Case("list", lambda: [1]), "dumps", "loads")
            timed = [on for _, function, on in calls if function == "loads"]
            assert timed
            assert not any(timed)
            assert gc.isenabled() is before
            assert gc.get_freeze_count() == frozen
    finally:
        (gc.enable if was else gc.disable)()


def test_collector_is_as_before_after_a_failure() -> None:
    def fail() -> Any:
        raise ZeroDivisionError

    was = gc.isenabled()
    made = iter([[1]])
    case = Case("once", lambda: next(made, None) or fail(), fresh=True)
    with pytest.raises(ZeroDivisionError):
        recorded(case, "dumps")
    assert gc.isenabled() is was


def test_every_route_goes_where_it_says() -> None:
    case = Case("mixed", lambda: {"class": pickle.PickleError, "numbers": [1, 2, 3], "own": Odd()})
    routes = list(_measure.ROUTES)
    rows = _measure.measure(case, routes, _measure.pickle_subjects(), protocol=5, seconds=0.0)
    assert [row.route for row in rows] == routes
    for row in rows:
        assert row.loads is _measure.ROUTES[row.route].loads
        assert set(row.times) == {"oxipickle", "C"}
        assert all(sample > 0 for samples in row.times.values() for sample in samples)


class Odd:
    """An instance, so that hooks are asked."""


def test_sides_are_ours_and_the_interpreters_even_when_installed() -> None:
    import oxipickle

    stock = pickle.dumps
    with oxipickle.activated():
        ours, theirs = _measure.pickle_subjects()
    assert (ours.name, theirs.name) == ("oxipickle", "C")
    assert ours.api.dumps is oxipickle.dumps
    assert theirs.api.dumps is stock


def test_subclasses_on_the_routes_are_asked() -> None:
    asked = []

    class Base(pickle.Pickler):
        pass

    overriding = _measure._overriding(Base)
    original = overriding.reducer_override
    overriding.reducer_override = lambda self, obj: asked.append(obj) or original(self, obj)
    odd = Odd()
    overriding(io.BytesIO(), 5).dump(odd)
    assert odd in asked
    pickler = _measure._dispatching(Base)(io.BytesIO(), 5)
    assert dict(pickler.dispatch_table) == dict(__import__("copyreg").dispatch_table)
    finder = _measure._finding(pickle.Unpickler)(io.BytesIO(pickle.dumps(Odd)))
    assert finder.load() is Odd
    assert "find_class" in vars(type(finder))


def test_messages_go_one_by_one_and_times_are_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [[number] for number in range(40)]
    whole = Case("messages", lambda: messages, messages=True)
    rows, calls = recorded(whole, "dumps", "loads", "dump, file")
    assert [row.route for row in rows] == ["dumps", "loads"]  # no file holds many
    assert sum(function == "dumps" for _, function, _ in calls) % 40 == 0
    assert rows[0].size == sum(len(pickle.dumps(message, 5)) for message in messages)
    monkeypatch.setattr(_measure, "_interleave", lambda *_arguments, once: {"C": [80.0, 120.0]})
    rows, _ = recorded(whole, "dumps")
    assert rows[0].times == {"C": [2.0, 3.0]}


def test_fresh_objects_for_every_dump() -> None:
    made = []

    def make() -> list[int]:
        made.append([1, 2, 3])
        return made[-1]

    rows, _ = recorded(Case("fresh", make, fresh=True), "dumps")
    assert len(made) >= 2 * len(rows[0].times["C"])


def test_stream_of_a_case_is_loaded_as_it_is() -> None:
    stream = pickle.dumps([1], 0)
    rows, _ = recorded(Case("file", lambda: [1], stream=stream), "loads")
    assert rows[0].size == len(stream)


def test_medians_ratios_and_means() -> None:
    row = Row("case", "", "dumps", 5, 1, loads=False)
    row.times = {"C": [4.0, 2.0, 90.0], "oxipickle": [1.0, 2.0, 0.1]}
    assert row.seconds("C") == 4.0
    assert row.ratio() == 4.0
    assert row.ratio("marshal") is None
    low, high = row.quartiles() or (0, 0)
    assert 1.0 <= low <= high <= 900.0
    assert _measure.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert _measure.geometric_mean([]) is None


@pytest.mark.parametrize(
    ("obj", "holds"),
    [
        ([1, "a", None, {"k": (1.5, b"x", {2}, frozenset([3]))}], True),
        (True, True),
        (bytearray(b"x"), False),
        ([Odd()], False),
        ({Odd(): 1}, False),
        (type("L", (list,), {})([1]), False),
        (memoryview(b"x"), False),
    ],
)
def test_what_marshal_can_hold(obj: object, holds: bool) -> None:
    assert _measure.marshal_subject().can_hold(obj) is holds


def test_what_marshal_cannot_hold_for_its_depth() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert not _measure.marshal_subject().can_hold(deep)
    while deep:  # taken apart by hand: freeing it at once goes as deep
        deep = deep.pop()


def test_check_finds_other_bytes_and_other_objects() -> None:
    stock = _measure.pickle_subjects()[1]
    case = Case("data", lambda: [1, 2])
    assert _measure.check(case, [Subject("oxipickle", stock.api), stock], 5) is None

    class OtherBytes:
        loads = staticmethod(pickle.loads)
        dumps = staticmethod(lambda obj, protocol: stock.api.dumps([*obj, 3], protocol))

    class OtherObject:
        dumps = staticmethod(stock.api.dumps)
        loads = staticmethod(lambda _data: [2, 1])

    fault = _measure.check(case, [Subject("oxipickle", OtherBytes), stock], 5)
    assert fault is not None
    assert "other bytes" in fault
    fault = _measure.check(case, [Subject("oxipickle", OtherObject), stock], 5)
    assert fault is not None
    assert "another object" in fault


@pytest.mark.parametrize("case", _samples.default_cases(), ids=lambda case: case.name)
def test_default_data_is_there_and_the_same_each_time(case: Case) -> None:
    obj = case.make()
    assert len(obj) > 0
    if case.group == "made":
        assert pickle.dumps(case.make()) == pickle.dumps(obj)
    # Written and loaded alike by both, on this interpreter.
    assert _measure.check(case, _measure.pickle_subjects(), 5) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.0, "1.00 s"), (0.0123, "12.3 ms"), (4.567e-5, "45.7 µs"), (3.3e-8, "33.0 ns"), (None, "-")],
)
def test_durations_have_three_digits(seconds: float | None, text: str) -> None:
    assert _report.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(7, "7 B"), (1234, "1.23 kB"), (500_000, "500 kB"), (10**9, "1.00 GB")]
)
def test_sizes_have_three_digits(size: int, text: str) -> None:
    assert _report.bytes_text(size) == text


def test_environment_names_no_place_of_this_machine() -> None:
    import sys

    text = str(_report.environment())
    assert sys.prefix not in text
    assert sys.executable not in text
