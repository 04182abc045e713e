"""The measuring core that `python -m oxipickle bench` and `benches/` share.

It times, it does not judge or print. What it promises: both sides are timed in one process, in
turns and in alternating order, on the same objects, with the garbage collector off and a full
collection before each sample; figures are medians of CPU time. Nothing here may look at the clock
of one side only, or keep the better of several tries.
"""

import contextlib
import copyreg
import gc
import io
import marshal
import math
import os
import statistics
import sys
import tempfile
import time
import timeit
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import IO, Any, Final

from oxipickle import _pickle as native
from oxipickle.activation import interpreter_pickle

__all__ = [
    "FLOOR",
    "OURS",
    "ROUTES",
    "STOCK",
    "Case",
    "Route",
    "Row",
    "Subject",
    "check",
    "geometric_mean",
    "marshal_subject",
    "measure",
    "pickle_subjects",
]

OURS: Final = "oxipickle"
STOCK: Final = "C"
FLOOR: Final = "making"

_SAMPLE_SECONDS = 0.002
"""A sample repeats the call until it lasts about this long, and reports the time of one call."""
# User and system time of this thread, so that what else the machine does counts for little.
# Windows counts it in ticks of 16 ms: there it is the clock on the wall.
_CLOCK: Callable[[], float] = time.perf_counter if os.name == "nt" else time.thread_time
_MINIMUM_ROUNDS = 5
_MAXIMUM_ROUNDS = 301


@dataclass(frozen=True, slots=True)
class Case:
    """Data to measure with."""

    name: str
    make: Callable[[], Any]
    """Makes the object; called once, or before every sample if `fresh`."""
    group: str = ""
    messages: bool = False
    """`make` returns a list of messages, each of which is dumped and loaded by itself."""
    fresh: bool = False
    """A dump gets objects that nobody has dumped: C leaves traces in instances and strings."""
    stream: bytes | None = None
    """The pickle to load, if there is one; else what C dumps."""
    floor: Callable[[Any], Callable[[], Any]] | None = None
    """Given the object, a function that makes the like without a stream, timed beside loads."""


@dataclass(frozen=True, slots=True)
class Route:
    """One way through the API."""

    name: str
    loads: bool
    statement: str
    """What is timed, for one `item` (an object, or its pickle when loading)."""
    setup: str
    whole: bool = True
    """Whether messages, many items in a row, can go this way."""


ROUTES: Final[Mapping[str, Route]] = {
    route.name: route
    for route in (
        Route("dumps", False, "dumps(item, protocol)", "dumps = subject.dumps"),
        Route("loads", True, "loads(item)", "loads = subject.loads"),
        Route("dump, BytesIO", False, "dump(item, BytesIO(), protocol)", "dump = subject.dump"),
        Route("load, BytesIO", True, "load(BytesIO(item))", "load = subject.load"),
        Route(
            "dump, file",
            False,
            "file.seek(0); dump(item, file, protocol); file.flush()",
            "dump = subject.dump; file = new_file()",
            whole=False,
        ),
        Route(
            "load, file",
            True,
            "file.seek(0); load(file)",
            "load = subject.load; file = new_file(item)",
            whole=False,
        ),
        Route(
            "dumps, out of band",
            False,
            "dumps(item, protocol, buffer_callback=[].append)",
            "dumps = subject.dumps",
            whole=False,
        ),
        Route(
            "loads, out of band",
            True,
            "loads(item, buffers=buffers)",
            "loads = subject.loads; buffers = []; "
            "item = stock.dumps(obj, protocol, buffer_callback=buffers.append)",
            whole=False,
        ),
        Route(
            "Pickler", False, "Pickler(BytesIO(), protocol).dump(item)", "Pickler = subject.Pickler"
        ),
        Route(
            "Unpickler", True, "Unpickler(BytesIO(item)).load()", "Unpickler = subject.Unpickler"
        ),
        Route(
            "Pickler, reused",
            False,
            "file.seek(0); pickler.clear_memo(); pickler.dump(item)",
            "file = BytesIO(); pickler = subject.Pickler(file, protocol)",
        ),
        Route(
            "Unpickler, reused",
            True,
            "file.seek(0); unpickler.load()",
            "file = BytesIO(item); unpickler = subject.Unpickler(file)",
            whole=False,
        ),
        Route(
            "Pickler, reducer_override",
            False,
            "Pickler(BytesIO(), protocol).dump(item)",
            "Pickler = overriding(subject.Pickler)",
        ),
        Route(
            "Pickler, dispatch_table",
            False,
            "Pickler(BytesIO(), protocol).dump(item)",
            "Pickler = dispatching(subject.Pickler)",
        ),
        Route(
            "Unpickler, find_class",
            True,
            "Unpickler(BytesIO(item)).load()",
            "Unpickler = finding(subject.Unpickler)",
        ),
    )
}
"""Every way that is measured: functions, files, buffers, objects, and users' subclasses."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to time: a name, and what has `dumps`, `loads` and the rest of the API."""

    name: str
    api: Any
    takes_protocol: bool = True
    """Whether it is a pickle; others are called with the object alone, through dumps and loads."""
    can_hold: Callable[[Any], bool] = lambda _obj: True

    def serves(self, route: Route) -> bool:
        """Whether this can go that way."""
        return self.takes_protocol or route.name in ("dumps", "loads")


def pickle_subjects(ours: ModuleType | None = None) -> list[Subject]:
    """The two pickles: ours, and the C one of this interpreter.

    Raises ImportError if the interpreter has none.
    """
    return [Subject(OURS, ours or native), Subject(STOCK, interpreter_pickle())]


def marshal_subject() -> Subject:
    """The floor: `marshal` writes and makes the same objects, and does nothing else."""
    return Subject("marshal", marshal, takes_protocol=False, can_hold=_marshal_holds)


_MARSHALLED = (bool, bytes, complex, float, int, str, type(None))


def _marshal_holds(obj: Any) -> bool:
    """Whether `marshal` would give back the same types; it writes any buffer as bytes."""
    seen: set[int] = set()
    todo = [obj]
    while todo:
        item = todo.pop()
        kind = type(item)
        if kind in _MARSHALLED:
            continue
        if kind not in (dict, frozenset, list, set, tuple):
            return False
        if id(item) not in seen:
            seen.add(id(item))
            todo += [*item.keys(), *item.values()] if kind is dict else item
    try:
        marshal.dumps(obj)
    except ValueError:  # too deep
        return False
    return True


@dataclass(slots=True)
class Row:
    """One case measured one way. Times are seconds for one call."""

    case: str
    group: str
    route: str
    protocol: int
    size: int
    """Bytes of the pickle; of all of them together for messages."""
    loads: bool
    times: dict[str, list[float]] = field(default_factory=dict)

    def seconds(self, subject: str) -> float | None:
        """Median, None if the subject was not measured."""
        samples = self.times.get(subject)
        return statistics.median(samples) if samples else None

    def ratio(self, subject: str = OURS) -> float | None:
        """How many times as fast as C: the ratio of the medians."""
        stock, other = self.seconds(STOCK), self.seconds(subject)
        return stock / other if stock and other else None

    def quartiles(self, subject: str = OURS) -> tuple[float, float] | None:
        """First and third quartile of the ratios of samples taken one right after the other."""
        pairs = list(zip(self.times.get(STOCK, ()), self.times.get(subject, ()), strict=False))
        if len(pairs) < 2:
            return None
        low, _, high = statistics.quantiles([stock / other for stock, other in pairs], n=4)
        return low, high


def geometric_mean(ratios: Sequence[float]) -> float | None:
    """None of none."""
    return math.exp(statistics.fmean(map(math.log, ratios))) if ratios else None


@contextlib.contextmanager
def _quiet_collector() -> Iterator[None]:
    """The collector off, and all that is there now out of its sight: a collection is then short."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()


def _overriding(base: Any) -> Any:
    """A pickler as cloudpickle derives it: asked about each object that is not a plain one.

    It looks for classes and functions, of which it has something to say, and has a dispatch table
    with a layer of its own.
    """

    def reducer_override(_self: Any, obj: Any) -> Any:
        if issubclass(type(obj), type) or isinstance(obj, FunctionType):
            # Left to the pickler if they can be imported.
            getattr(sys.modules.get(obj.__module__), obj.__qualname__, None)
        return NotImplemented

    members = {
        "reducer_override": reducer_override,
        "dispatch_table": ChainMap({}, copyreg.dispatch_table),
    }
    return type("Overriding", (base,), members)


def _dispatching(base: Any) -> Any:
    """A pickler as multiprocessing derives it: each has a layer of its own in a dispatch table."""
    table = ChainMap(copyreg.dispatch_table)
    extra: dict[Any, Any] = {}

    def __init__(self: Any, *arguments: Any) -> None:
        base.__init__(self, *arguments)
        self.dispatch_table = table.new_child(extra)

    return type("Dispatching", (base,), {"__init__": __init__})


def _finding(base: Any) -> Any:
    """An unpickler as restricted loaders derive it: asked for each class."""

    def find_class(self: Any, module: str, name: str) -> Any:
        return base.find_class(self, module, name)

    return type("Finding", (base,), {"find_class": find_class})


def measure(
    case: Case,
    routes: Sequence[str],
    subjects: Sequence[Subject],
    *,
    protocol: int,
    seconds: float,
    advance: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Times `case` on each of `routes` (names in `ROUTES`) with all `subjects`, C among them.

    `seconds` is the time for one route; at least five rounds are made in any case. `advance` is
    called when a route is done. Raises whatever making, dumping or loading the object raises.
    """
    obj = case.make()
    stock = next(subject for subject in subjects if subject.name == STOCK)
    shared = {"obj": obj, "stock": stock.api}
    if case.stream is not None:
        data: Any = case.stream
    elif case.messages:
        data = [stock.api.dumps(message, protocol) for message in obj]
    else:
        data = stock.api.dumps(obj, protocol)
    size = sum(map(len, data)) if case.messages else len(data)
    able = [subject for subject in subjects if subject.can_hold(obj)]

    rows = []
    with contextlib.ExitStack() as files, _quiet_collector():

        def new_file(content: bytes = b"") -> IO[bytes]:
            file: IO[bytes] = files.enter_context(tempfile.TemporaryFile())
            file.write(content)
            file.flush()
            return file

        for name in routes:
            route = ROUTES[name]
            row = Row(case.name, case.group, name, protocol, size, route.loads)
            if route.whole or not case.messages:
                shared["new_file"] = new_file
                timers = {
                    subject.name: _timer(case, route, subject, data, protocol, shared)
                    for subject in able
                    if subject.serves(route)
                }
                if case.floor is not None and name == "loads":
                    make = case.floor(obj)
                    timers[FLOOR] = timeit.Timer("make()", "pass", _CLOCK, {"make": make}).timeit
                row.times = _interleave(timers, seconds, once=case.fresh and not route.loads)
                if case.messages:
                    for samples in row.times.values():
                        samples[:] = [sample / len(obj) for sample in samples]
                rows.append(row)
            advance()
    return rows


_Timer = Callable[[int], float]


def _timer(
    case: Case,
    route: Route,
    subject: Subject,
    data: Any,
    protocol: int,
    shared: Mapping[str, Any],
) -> _Timer:
    """A function that makes a number of calls and returns the seconds they took together."""
    obj = shared["obj"]
    statement = route.statement
    if not subject.takes_protocol:
        statement = statement.replace(", protocol", "")
        if route.loads:  # its own format
            dumps = subject.api.dumps
            data = [dumps(message) for message in obj] if case.messages else dumps(obj)
    namespace = {
        **shared,
        "subject": subject.api,
        "protocol": protocol,
        "given": data if route.loads else obj,
        "make": case.make,
        "BytesIO": io.BytesIO,
        "overriding": _overriding,
        "dispatching": _dispatching,
        "finding": _finding,
    }
    source = "make()" if case.fresh and not route.loads else "given"
    target = "items" if case.messages else "item"
    # Names that are local where the statement runs, as they are in a hot loop of a program.
    setup = f"{target} = {source}\n{route.setup}"
    if case.messages:
        statement = f"for item in items:\n    {statement}"
        timer = kept = timeit.Timer(statement, setup, _CLOCK, namespace)
    else:
        timer = timeit.Timer(statement, setup, _CLOCK, namespace)
        # One long call: the result is freed after the clock has stopped. Repeated short calls
        # free it as they go, as programs do.
        *before, call = statement.split("; ") if route.loads else (statement,)
        kept = timeit.Timer("; ".join([*before, f"result = {call}"]), setup, _CLOCK, namespace)

    return lambda number: (kept if number == 1 else timer).timeit(number)


def _interleave(
    timers: Mapping[str, _Timer], seconds: float, *, once: bool
) -> dict[str, list[float]]:
    """Samples of each, taken in turns; the order is turned round from one round to the next.

    With `once`, a sample is a single call, its object made for it.
    """
    number = 1 if once else _calls_per_sample(timers[STOCK])
    for timer in timers.values():
        timer(number)  # caches, files and lazily imported modules
    samples: dict[str, list[float]] = {name: [] for name in timers}
    order = list(timers)
    end = time.perf_counter() + seconds
    for done in range(_MAXIMUM_ROUNDS):
        if done >= _MINIMUM_ROUNDS and time.perf_counter() > end:
            break
        for name in order:
            gc.collect()
            samples[name].append(timers[name](number) / number)
        order.reverse()
    return samples


def _calls_per_sample(timer: _Timer) -> int:
    number = 1
    while (taken := timer(number)) < _SAMPLE_SECONDS / 4:
        number *= 4
    return max(1, round(number * _SAMPLE_SECONDS / taken))


def check(case: Case, subjects: Sequence[Subject], protocol: int) -> str | None:
    """Whether both pickles write the same bytes for `case` and load what the other wrote.

    Returns None if so, else a sentence that says what differs.
    """
    ours, stock = (
        next(subject for subject in subjects if subject.name == name).api for name in (OURS, STOCK)
    )
    obj = case.make()
    for item in obj if case.messages else [obj]:
        written, expected = ours.dumps(item, protocol), stock.dumps(item, protocol)
        if written != expected:
            at = next(
                (i for i, (a, b) in enumerate(zip(written, expected, strict=False)) if a != b),
                min(len(written), len(expected)),
            )
            return f"other bytes than C from offset {at} on"
        loaded, wanted = ours.loads(expected), stock.loads(expected)
        if stock.dumps(loaded, protocol) != stock.dumps(wanted, protocol) and loaded != wanted:
            return "another object than C was loaded"
    return None
