"""Data for `python -m oxipickle bench` when the user gives none: found on the machine, or made.

What is found (sources, metadata) comes first, since nobody chose it for its figures; what is made
has the shape of what programs send each other, and comes from a fixed seed. Each function returns
one object, or a list of messages, and takes a few hundred milliseconds at most.
"""

import ast
import enum
import importlib.metadata
import importlib.util
import io
import logging
import pathlib
import random
import tokenize
import uuid
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from oxipickle._measure import Case

__all__ = ["default_cases"]

_MODULES = (
    "argparse",
    "ast",
    "asyncio.base_events",
    "calendar",
    "configparser",
    "email.message",
    "enum",
    "inspect",
    "json.decoder",
    "logging",
    "pathlib",
    "pickletools",
    "subprocess",
    "tarfile",
    "typing",
    "unittest.mock",
    "zipfile",
)


def _sources() -> dict[str, bytes]:
    """Sources of standard-library modules, by name; those that this installation has."""
    found = {}
    for name in _MODULES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin and spec.origin.endswith(".py"):
            found[name] = pathlib.Path(spec.origin).read_bytes()
    return found


def syntax_trees() -> list[ast.Module]:
    """The standard library's modules, parsed: instances by the ten thousand."""
    return [ast.parse(source) for source in _sources().values()]


def tokens() -> list[tokenize.TokenInfo]:
    """The tokens of some of these modules: named tuples that hold tuples and strings."""
    sources = list(_sources().values())[:3]
    return [token for source in sources for token in tokenize.tokenize(io.BytesIO(source).readline)]


def source_lines() -> dict[str, list[str]]:
    """The lines of these modules: text."""
    return {name: source.decode().splitlines() for name, source in _sources().items()}


def package_metadata() -> list[dict[str, Any]]:
    """What `importlib.metadata` knows of each package installed here."""
    return [
        {
            "metadata": distribution.metadata.json,
            "entry points": [(p.group, p.name, p.value) for p in distribution.entry_points],
            "files": [(str(file), file.size) for file in distribution.files or ()],
        }
        for distribution in importlib.metadata.distributions()
    ]


def documents() -> list[dict[str, Any]]:
    """Answers of a web service: nested dicts and lists of strings, numbers and None."""
    rng = random.Random(1)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota"]
    return [
        {
            "id": number,
            "type": "event",
            "created_at": f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T12:00:00Z",
            "user": {
                "name": f"{rng.choice(words)}_{number}",
                "followers": rng.randrange(100_000),
                "verified": rng.random() < 0.1,
                "location": None if rng.random() < 0.5 else rng.choice(["Zürich", "東京", "Lima"]),
            },
            "text": " ".join(rng.choices(words, k=12)),
            "tags": rng.sample(words, 3),
            "position": [rng.uniform(-180, 180), rng.uniform(-90, 90)],
        }
        for number in range(3_000)
    ]


class Status(enum.Enum):
    """State of an order."""

    OPEN = "open"
    PAID = "paid"
    SENT = "sent"


@dataclass
class Line:
    """A line of an order."""

    article: str
    quantity: int
    price: Decimal


@dataclass
class Order:
    """A record as an application keeps it."""

    key: uuid.UUID
    customer: str
    placed: datetime
    due: date
    status: Status
    lines: list[Line] = attribute(default_factory=list)


def orders() -> list[Order]:
    """Dataclasses that hold UUIDs, datetimes, Decimals and enum members."""
    rng = random.Random(2)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        Order(
            uuid.UUID(int=rng.getrandbits(128)),
            f"customer {rng.randrange(500)}",
            start + timedelta(seconds=rng.randrange(31_536_000)),
            date(2026, rng.randint(1, 12), rng.randint(1, 28)),
            rng.choice(list(Status)),
            [
                Line(f"A-{rng.randrange(10_000)}", rng.randint(1, 9), Decimal(price) / 100)
                for price in rng.choices(range(100, 10_000), k=3)
            ],
        )
        for _ in range(1_000)
    ]


@dataclass(slots=True)
class Measurement:
    """One reading of a sensor."""

    sensor: int
    at: float
    value: float
    unit: str


def measurements() -> list[Measurement]:
    """Slotted dataclasses."""
    rng = random.Random(3)
    return [
        Measurement(rng.randrange(64), 1.7e9 + number, rng.gauss(20, 5), "celsius")
        for number in range(10_000)
    ]


class Node:
    """A node of a graph; its neighbours are other nodes, round in circles."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.neighbours: list[Node] = []
        self.weight = 1.0


def graph() -> list[Node]:
    """Instances that refer to each other, so that the memo has to be asked all the time."""
    rng = random.Random(4)
    # A chain closed to a ring goes as deep as it is long; C cannot pickle that. So a forest of
    # small rings, all of which share a few hubs.
    hubs = [Node(f"hub {number}") for number in range(20)]
    nodes = list(hubs)
    for number in range(250):
        ring = [Node(f"node {number}.{place}") for place in range(20)]
        for node, following in zip(ring, ring[1:] + ring[:1], strict=True):
            node.neighbours = [following, *rng.sample(hubs, 3)]
        nodes += ring
    return nodes


def numbers() -> dict[str, list[float] | list[int]]:
    """Columns of numbers."""
    rng = random.Random(5)
    return {
        "small": [rng.randrange(256) for _ in range(20_000)],
        "large": [rng.getrandbits(60) for _ in range(20_000)],
        "real": [rng.gauss(0, 1) for _ in range(20_000)],
    }


def containers() -> list[Any]:
    """The standard library's containers."""
    rng = random.Random(6)
    result: list[Any] = []
    for number in range(500):
        counts: defaultdict[str, int] = defaultdict(int)
        for letter in rng.choices("abcdefgh", k=12):
            counts[letter] += 1
        result += [
            counts,
            OrderedDict((str(key), key) for key in range(5)),
            deque(range(number, number + 8), maxlen=8),
            {rng.getrandbits(32) for _ in range(8)},
            frozenset(rng.choices(range(1000), k=8)),
        ]
    return result


def messages() -> list[Any]:
    """What goes through a queue of tasks: many small messages, each pickled by itself."""
    rng = random.Random(7)
    result: list[Any] = []
    for number in range(200):
        task = uuid.UUID(int=rng.getrandbits(128))
        result += [
            number,
            ("result", number, rng.random()),
            {"task": str(task), "args": (number, "name"), "kwargs": {}, "retries": 0},
            Line(f"A-{number}", 1, Decimal("9.90")),
            ValueError(f"no item {number}"),
            None,
        ]
    return result


def log_records() -> list[dict[str, Any]]:
    """Log records as `logging.handlers.SocketHandler` sends them."""
    records = []
    for number in range(2_000):
        record = logging.LogRecord(
            "service.worker", logging.INFO, "worker.py", number, "done in %d ms", (number,), None
        )
        record.msg = record.getMessage()
        record.args = None
        record.created = 1.7e9 + number / 8
        record.msecs = record.created % 1 * 1000
        record.relativeCreated = number * 125.0
        record.process = record.thread = 4321
        records.append(record.__dict__)
    return records


def blobs() -> dict[str, bytes]:
    """Sources as bytes, half a megabyte and more: what files and images are to pickle."""
    return _sources()


def default_cases() -> list[Case]:
    """The cases, in the order of the table."""
    found, made = "found on this machine", "made"
    return [
        Case("syntax trees", syntax_trees, found),
        Case("tokens", tokens, found),
        Case("source lines", source_lines, found),
        Case("source files, bytes", blobs, found),
        Case("package metadata", package_metadata, found),
        Case("documents", documents, made),
        Case("orders, dataclasses", orders, made),
        Case("measurements, slots", measurements, made),
        Case("graph", graph, made),
        Case("numbers", numbers, made),
        Case("containers", containers, made),
        Case("log records", log_records, made),
        Case("messages, one by one", messages, made, messages=True),
    ]
