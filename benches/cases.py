"""The benchmark set: every case by name, with the data that it dumps and loads.

Data is made from fixed seeds, or is the real thing (parsed sources, metadata, NumPy, pandas,
scikit-learn). Classes are at module level, since pickles name them. Cases that need a library are
made only where it is installed; `absent()` says which are not. Nothing here measures.
"""

import datetime
import decimal
import enum
import fractions
import importlib.util
import os
import pathlib
import random
import sys
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from floors import making
from oxipickle import _samples
from oxipickle._measure import Case

__all__ = ["absent", "cases", "cases_for_others"]

MANY = 100_000
SOME = 10_000

# --- pyperformance's bm_pickle: its data (MIT, the Python Performance Benchmark Suite's authors)

PROFILE = {
    "ads_flags": 0,
    "age": 18,
    "birthday": datetime.date(1980, 5, 7),
    "bulletin_count": 0,
    "comment_count": 0,
    "country": "BR",
    "encrypted_id": "G9urXXAJwjE",
    "favorite_count": 9,
    "first_name": "",
    "flags": 412317970704,
    "friend_count": 0,
    "gender": "m",
    "gender_for_display": "Male",
    "id": 302935349,
    "is_custom_profile_icon": 0,
    "last_name": "",
    "locale_preference": "pt_BR",
    "member": 0,
    "tags": ["a", "b", "c", "d", "e", "f", "g"],
    "profile_foo_id": 827119638,
    "secure_encrypted_id": "Z_xxx2dYx3t4YAdnmfgyKw",
    "session_number": 2,
    "signup_id": "201-19225-223",
    "status": "A",
    "theme": 1,
    "time_created": 1225237014,
    "time_updated": 1233134493,
    "unread_message_count": 0,
    "user_group": "0",
    "username": "collinwinter",
    "play_count": 9,
    "view_count": 7,
    "zip": "",
}
PAIR = (
    [
        265867233, 265868503, 265252341, 265243910, 265879514,
        266219766, 266021701, 265843726, 265592821, 265246784,
        265853180, 45526486, 265463699, 265848143, 265863062,
        265392591, 265877490, 265823665, 265828884, 265753032,
    ],
    60,
)  # fmt: skip


def pyperformance_pickle() -> list[Any]:
    """The three objects of `pickle` and `unpickle`; one loop there is 20 calls with each."""
    rng = random.Random(5)
    group = [{key: str(rng.random() * sys.maxsize) for key in PROFILE} for _ in range(3)]
    return [PROFILE, PAIR, group]


def pyperformance_list() -> list[list[list[int]]]:
    """The object of `pickle_list` and `unpickle_list`."""
    return [[list(range(10)), list(range(10))] for _ in range(10)]


def pyperformance_dict() -> dict[int, dict[int, None]]:
    """The object of `pickle_dict`."""
    return {key: dict.fromkeys(range(10)) for key in range(100)}


# --- scalars


def ints() -> list[int]:
    """Of every size up to 62 bits, each its own object."""
    rng = random.Random(1)
    return [rng.getrandbits(rng.randint(1, 62)) for _ in range(MANY)]


def floats() -> list[float]:
    """Normal deviates."""
    rng = random.Random(2)
    return [rng.gauss(0, 1000) for _ in range(MANY)]


def ascii_strings() -> list[str]:
    """Eight ASCII characters each, all different."""
    return [f"{number:08x}" for number in range(MANY)]


def other_strings() -> list[str]:
    """Some Latin-1, some beyond, some beyond the BMP; all different."""
    kinds = ("größe", "данные", "数据", "🥒🦀")
    return [f"{kinds[number % 4]}{number}" for number in range(MANY)]


def large_text() -> str:
    """A megabyte that is not ASCII."""
    return "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 10_000


def small_bytes() -> list[bytes]:
    """Eight bytes each, all different."""
    return [number.to_bytes(8, "little") for number in range(MANY)]


def documents(count: int = 70_000) -> list[dict[str, Any]]:
    """JSON-like documents; about a million values in all."""
    rng = random.Random(3)
    words = [f"word{number}" for number in range(500)]
    return [
        {
            "id": number,
            "name": f"document {number}",
            "score": rng.random(),
            "active": number % 3 == 0,
            "parent": None,
            "tags": rng.choices(words, k=4),
            "size": {"width": rng.randrange(4000), "height": rng.randrange(4000)},
        }
        for number in range(count)
    ]


def long_strings() -> list[str]:
    """A thousand ASCII strings of two kilobytes."""
    return [f"{number} " * (2_000 // len(f"{number} ")) for number in range(1_000)]


def profile() -> dict[str, Any]:
    """pyperformance's object without its date, which JSON has not."""
    return {key: value for key, value in PROFILE.items() if key != "birthday"}


def nested_tuples() -> list[Any]:
    """Tuples in tuples, six deep."""
    result = []
    for number in range(20_000):
        value: Any = (number, str(number))
        for depth in range(5):
            value = (value, depth)
        result.append(value)
    return result


# --- instances


@dataclass
class Record:
    """A dataclass of five fields."""

    key: int
    name: str
    score: float
    tags: tuple[str, ...]
    parent: "Record | None"


@dataclass(slots=True)
class SlottedRecord:
    """The same with slots."""

    key: int
    name: str
    score: float
    tags: tuple[str, ...]
    parent: "SlottedRecord | None"


class Plain:
    """An ordinary instance."""

    def __init__(self, key: int, child: "Plain | None" = None) -> None:
        self.key = key
        self.name = f"plain {key}"
        self.child = child


class Stateful:
    """An instance with a state of its own."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.cache = {key: key}

    def __getstate__(self) -> int:
        return self.key

    def __setstate__(self, state: int) -> None:
        self.key = state
        self.cache = {state: state}


class Reducing:
    """An instance that says itself how to make it."""

    def __init__(self, key: int, name: str) -> None:
        self.key = key
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return Reducing, (self.key, self.name)


class OwnDict(dict[str, int]):
    """A subclass of dict."""


class OwnList(list[int]):
    """A subclass of list."""


class Failure(Exception):
    """An exception of a program's own."""


class Colour(enum.Enum):
    """An enumeration."""

    RED = 1
    GREEN = 2
    BLUE = 3


Point = namedtuple("Point", "x y label")


def records() -> list[Record]:
    """Dataclasses."""
    return [Record(n, f"record {n}", n / 3, ("a", str(n)), None) for n in range(50_000)]


def slotted_records() -> list[SlottedRecord]:
    """Slotted dataclasses."""
    return [SlottedRecord(n, f"record {n}", n / 3, ("a", str(n)), None) for n in range(50_000)]


def nested_instances() -> list[Plain]:
    """Instances in instances, five deep."""
    result = []
    for number in range(SOME):
        value = Plain(number)
        for depth in range(4):
            value = Plain(depth, value)
        result.append(value)
    return result


def sets() -> list[set[int]]:
    """Sets of ten."""
    rng = random.Random(4)
    return [{rng.getrandbits(40) for _ in range(10)} for _ in range(SOME)]


def graph() -> list[_samples.Node]:
    """Twenty thousand nodes that share hubs and close circles."""
    rng = random.Random(5)
    hubs = [_samples.Node(f"hub {number}") for number in range(50)]
    nodes = list(hubs)
    for number in range(1_000):
        ring = [_samples.Node(f"node {number}.{place}") for place in range(20)]
        for node, following in zip(ring, ring[1:] + ring[:1], strict=True):
            node.neighbours = [following, *rng.sample(hubs, 3)]
        nodes += ring
    return nodes


def shuffled(make: Callable[[], list[Any]]) -> Callable[[], list[Any]]:
    """The same objects in an order that is not that of their addresses."""

    def make_shuffled() -> list[Any]:
        objects = make()
        random.Random(6).shuffle(objects)
        return objects

    return make_shuffled


# --- libraries


def _library(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def data_frame() -> Any:
    """A DataFrame of numbers, categories, times and text."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(7)
    rows = 20_000
    return pd.DataFrame(
        {
            "number": rng.integers(0, 1000, rows),
            "real": rng.normal(size=rows),
            "time": pd.date_range("2026-01-01", periods=rows, freq="min"),
            "kind": pd.Categorical(rng.choice(["a", "b", "c"], rows)),
            "text": pd.Series([f"text {number}" for number in range(rows)], dtype=object),
        }
    )


def small_arrays() -> list[Any]:
    """A thousand arrays of ten numbers."""
    import numpy as np

    return [np.arange(number, number + 10) for number in range(1_000)]


def large_array() -> Any:
    """An array of ten megabytes."""
    import numpy as np

    return np.arange(1_250_000, dtype=np.int64)


def forest() -> Any:
    """A fitted scikit-learn model."""
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier

    features, labels = make_classification(n_samples=500, n_features=10, random_state=8)
    return RandomForestClassifier(n_estimators=20, random_state=8).fit(features, labels)


def task_message() -> Any:
    """A task as Celery sends it: protocol 2 of its messages, with the pickle serializer."""
    task = "6c1f0f1e-0c5c-4f6d-9d5b-2f1f6a3b7c55"
    return (
        (4711, "customer@example.org"),
        {"amount": decimal.Decimal("19.90"), "due": datetime.datetime(2026, 5, 1, 12)},
        {"callbacks": None, "errbacks": None, "chain": None, "chord": None, "root_id": task},
    )


# --- the set


def _many(make: Callable[[int], Any], count: int = SOME) -> Callable[[], list[Any]]:
    return lambda: [make(number) for number in range(count)]


def _objects(name: str, make: Callable[[int], Any], count: int = SOME) -> Case:
    return Case(name, _many(make, count), "standard library", floor=making)


def _memory() -> int:
    """Bytes of memory that the machine has; 0 if it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


_GIB_NEEDS = 12 * 2**30
_UTC = datetime.UTC


def absent() -> list[str]:
    """A sentence for each part of the set that cannot be measured here."""
    result = [
        f"no cases with {name}: it is not installed"
        for name in ("numpy", "pandas", "sklearn")
        if not _library(name)
    ]
    if _memory() < _GIB_NEEDS:
        result.append("no case of 1 GiB: this machine has less than 12 GiB of memory")
    return result


#: The cases of the set that orjson and msgspec can hold.
HELD_BY_OTHERS = (
    "documents, 1M values",
    "100k ASCII strings",
    "100k other strings",
    "100k ints",
    "100k floats",
    "pickle_list",
    "dict of four",
)


def cases_for_others() -> list[Case]:
    """What is measured beside formats that hold less than pickle: data of JSON's kinds."""
    return [
        Case("one document", lambda: documents(1)[0]),
        Case("a hundred documents", lambda: documents(100)),
        Case("profile", profile),
        Case("1k long ASCII strings", long_strings),
        *(case for case in cases() if case.name in HELD_BY_OTHERS),
    ]


def cases() -> list[Case]:
    """The whole set, as far as this machine has what it needs."""
    start = datetime.datetime(2026, 1, 1)
    day = datetime.timedelta(days=1)
    result = [
        Case("pickle", pyperformance_pickle, "pyperformance", messages=True),
        Case("pickle_list", pyperformance_list, "pyperformance"),
        Case("pickle_dict", pyperformance_dict, "pyperformance"),
        Case("100k ints", ints, "built-in types"),
        Case("100k floats", floats, "built-in types"),
        Case("100k ASCII strings", ascii_strings, "built-in types"),
        Case("100k other strings", other_strings, "built-in types"),
        Case("100k other strings, fresh", other_strings, "built-in types", fresh=True),
        Case("100k small bytes", small_bytes, "built-in types"),
        Case("documents, 1M values", documents, "built-in types"),
        Case("nested tuples", nested_tuples, "built-in types"),
        Case("sets", sets, "built-in types"),
        Case("frozensets", lambda: list(map(frozenset, sets())), "built-in types"),
        Case("10 MB of bytes", lambda: bytes(10_000_000), "built-in types"),
        Case("large text, fresh", large_text, "built-in types", fresh=True),
        Case("dataclasses", records, "instances", floor=making),
        Case("dataclasses, fresh", records, "instances", fresh=True),
        Case("slotted dataclasses", slotted_records, "instances", floor=making),
        Case("plain instances", _many(Plain, 50_000), "instances", floor=making),
        Case("plain instances, fresh", _many(Plain, 50_000), "instances", fresh=True),
        Case("nested instances", nested_instances, "instances"),
        Case("__getstate__, __setstate__", _many(Stateful), "instances", floor=making),
        Case("__reduce__", _many(lambda n: Reducing(n, f"name {n}")), "instances", floor=making),
        Case("subclass of dict", _many(lambda n: OwnDict(a=n, b=n)), "instances", floor=making),
        Case("subclass of list", _many(lambda n: OwnList([n, n])), "instances", floor=making),
        Case("exceptions", _many(lambda n: Failure(f"no {n}", n)), "instances", floor=making),
        Case("graph, 20k nodes", graph, "instances"),
        _objects("namedtuples", lambda n: Point(n, n / 2, "label")),
        Case("enum members", _many(lambda n: list(Colour)[n % 3]), "standard library"),
        _objects("datetimes", lambda n: start + n * datetime.timedelta(minutes=61)),
        _objects("datetimes, UTC", lambda n: datetime.datetime.fromtimestamp(n * 4001, _UTC)),
        _objects("dates", lambda n: (start + n * day).date()),
        _objects("timedeltas", lambda n: datetime.timedelta(n % 99, n)),
        _objects("Decimals", lambda n: decimal.Decimal(n) / 100),
        _objects("Fractions", lambda n: fractions.Fraction(n, 97)),
        _objects("UUIDs", lambda n: uuid.UUID(int=n * 2**90 + n)),
        _objects("paths", lambda n: pathlib.PurePosixPath(f"/srv/data/{n % 100}/{n}.parquet")),
        _objects("OrderedDicts", lambda n: OrderedDict(a=n, b=n)),
        Case("defaultdicts", _many(lambda n: defaultdict(int, a=n, b=n)), "standard library"),
        _objects("Counters", lambda n: Counter(a=n, b=1)),
        _objects("deques", lambda n: deque([n, n + 1, n + 2], maxlen=3)),
        Case("1", lambda: 1, "tiny messages"),
        Case("(1, 2, 3)", lambda: (1, 2, 3), "tiny messages"),
        Case(
            "dict of four",
            lambda: {"id": 7, "kind": "ping", "at": 1.5, "data": None},
            "tiny messages",
        ),
        Case("one dataclass", lambda: Record(1, "name", 0.5, ("a",), None), "tiny messages"),
        Case("one exception", lambda: ValueError("no such item"), "tiny messages"),
        Case("one datetime", lambda: start, "tiny messages"),
        Case("task message", task_message, "tiny messages"),
        Case("queue of messages", _samples.messages, "tiny messages", messages=True),
        Case("strings, shuffled", shuffled(ascii_strings), "cold memory"),
        Case("dataclasses, shuffled", shuffled(records), "cold memory"),
        *(
            case
            for case in _samples.default_cases()
            if case.name in ("syntax trees", "package metadata")
        ),
    ]
    if _memory() >= _GIB_NEEDS:
        result.append(Case("1 GiB of bytes", lambda: bytes(2**30), "built-in types"))
    if _library("numpy"):
        result += [
            Case("small arrays", small_arrays, "libraries"),
            Case("large array", large_array, "libraries"),
        ]
        if _library("pandas"):
            result.append(Case("DataFrame", data_frame, "libraries"))
        if _library("sklearn"):
            result.append(Case("scikit-learn forest", forest, "libraries"))
    return result
