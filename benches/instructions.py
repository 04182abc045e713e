"""Instructions that a call takes, counted by valgrind's callgrind: the guard against regressions.

    python benches/instructions.py            count, and compare with what is recorded
    python benches/instructions.py --record   count, and write benches/results/instructions-*.json
    python benches/instructions.py --without names    what a lever (src/levers.rs) saves

Counts are repeatable to a fraction of a percent on one interpreter, compiler and C library, where
times differ by ten; they say nothing of caches and branches, so speed is judged by `run.py`. Each
side runs in processes under callgrind, which writes its counter at marks between runs of two
lengths; a call costs their difference divided by the calls that one is longer. Tables that are
looked up by address make it dear where two addresses share a place: of several layouts of memory
the lowest count is taken. No time is measured here.
"""

import ast
import datetime
import decimal
import enum
import gc
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from itertools import repeat
from typing import Annotated, Any, cast

import cases
import typer
from oxipickle import _pickle as native
from oxipickle import _report, _samples
from oxipickle.activation import interpreter_pickle
from run import RESULTS, check_levers, result_name

HERE = pathlib.Path(__file__).parent

#: How much more than recorded a call may take: ten times what counts of one build were seen to
#: differ by, and less than any change of the code that was worth a second look.
TOLERANCE = 0.03
SHORT, LONG, WARM = 40, 240, 100
#: For each process: the seed of str hashes, and bytes that are allocated before all else.
LAYOUTS = ((0, 0), (1, 5_000), (2, 23_000))
MARK = "getloadavg"
"""A function of the C library that nothing else calls; callgrind writes the counter before it."""


class Side(enum.StrEnum):
    """Whose instructions are counted."""

    OURS = "oxipickle"
    STOCK = "C"


def objects() -> dict[str, Any]:
    """What is dumped and loaded: small, since a mistake shows per object and not per byte."""
    rows: list[Any] = [(n, f"record {n}", n / 3, ("a", str(n)), None) for n in range(20)]
    ring = [_samples.Node(f"node {n}") for n in range(10)]
    for node, following in zip(ring, ring[1:] + ring[:1], strict=True):
        node.neighbours = [following]
    return {
        "1": 1,
        "text": "a short text",
        "other text": "größe и 数据",
        "(1, 2, 3)": (1, 2, 3),
        "dict of four": {"id": 7, "kind": "ping", "at": 1.5, "data": None},
        "list of 10 ints": list(range(1000, 1010)),
        "100 ints": [n * n * n for n in range(100)],
        "100 floats": [n / 7 for n in range(100)],
        "100 ASCII strings": [f"{n:08x}" for n in range(100)],
        "100 other strings": [f"größe {n}" if n % 2 else f"数据 {n}" for n in range(100)],
        "100 small bytes": [n.to_bytes(8, "little") for n in range(100)],
        "a document": cases.documents(1)[0],
        "20 documents": cases.documents(20),
        "nested tuples": [((((n, str(n)), 0), 1), 2) for n in range(10)],
        "a set": set(range(10)),
        "a dataclass": cases.Record(1, "name", 0.5, ("a",), None),
        "20 dataclasses": [cases.Record(*fields) for fields in rows],
        "20 slotted dataclasses": [cases.SlottedRecord(*fields) for fields in rows],
        "20 plain instances": [cases.Plain(n) for n in range(20)],
        "__getstate__": cases.Stateful(1),
        "__reduce__": cases.Reducing(1, "name"),
        "subclass of dict": cases.OwnDict(a=1, b=2),
        "an exception": ValueError("no such item"),
        "a ring of nodes": ring[0],
        "a namedtuple": cases.Point(1, 0.5, "label"),
        "an enum member": cases.Colour.RED,
        "a datetime": datetime.datetime(2026, 1, 1, 12, 30),
        "a Decimal": decimal.Decimal("19.90"),
        "a UUID": uuid.UUID(int=1 << 90),
        "an OrderedDict": OrderedDict(a=1, b=2),
        "a defaultdict": defaultdict(int, a=1, b=2),
        "a deque": deque([1, 2, 3]),
        "a task message": cases.task_message(),
        "a syntax tree": ast.parse("def add(a, b=1):\n    return [a + b for _ in range(3)]\n"),
    }


Loop = Callable[[int], None]


def _loop(statement: str, **names: Any) -> Loop:
    """A function that runs the statement so many times; the names are its local variables."""
    parameters = "".join(f", {name}={name}" for name in names)
    source = f"def loop(number{parameters}):\n for _ in repeat(None, number): {statement}"
    namespace = {**names, "repeat": repeat}
    exec(source, namespace)
    return cast(Loop, namespace["loop"])


def loops(api: Any) -> dict[str, Loop]:
    """What is counted, by name: every object dumped and loaded, and some on other ways."""
    stock = interpreter_pickle()
    made = objects()
    streams = {name: stock.dumps(obj, 5) for name, obj in made.items()}
    result: dict[str, Loop] = {}
    for name, obj in made.items():
        result[f"dumps {name}"] = _loop("dumps(item, 5)", dumps=api.dumps, item=obj)
    for name, stream in streams.items():
        result[f"loads {name}"] = _loop("loads(item)", loads=api.loads, item=stream)
    ways = {
        "Pickler": ("new(BytesIO(), 5).dump(item)", api.Pickler, made),
        "Unpickler": ("new(BytesIO(item)).load()", api.Unpickler, streams),
    }
    for way, (statement, new, items) in ways.items():
        for name in ("dict of four", "a dataclass"):
            result[f"{way} {name}"] = _loop(
                statement, new=new, BytesIO=io.BytesIO, item=items[name]
            )
    return result


def _under_callgrind(side: Side) -> None:
    """What the process under callgrind does: runs, with a mark before and after each."""
    to_count = loops(native if side is Side.OURS else interpreter_pickle())
    gc.collect()
    gc.disable()
    gc.freeze()
    for loop in to_count.values():
        for number in (WARM, SHORT, LONG):
            loop(number)
            os.getloadavg()


def _count(side: Side) -> dict[str, float]:
    """Instructions for each call: the least of all layouts for ours, of one for C."""
    layouts = LAYOUTS if side is Side.OURS else LAYOUTS[:1]
    counts = [_count_once(side, *layout) for layout in layouts]
    return {name: min(count[name] for count in counts) for name in counts[0]}


def _count_once(side: Side, seed: int, padding: int, without: str = "") -> dict[str, float]:
    names = list(loops(interpreter_pickle()))
    start = (
        f"kept = bytearray({padding}); import runpy, sys; sys.path.insert(0, {str(HERE)!r}); "
        f"sys.argv[1:] = ['--under-callgrind', {str(side)!r}]; "
        f"runpy.run_path({__file__!r}, run_name='__main__')"
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *("valgrind", "--tool=callgrind", f"--dump-before={MARK}", "--compress-strings=no"),
                *(f"--callgrind-out-file={folder}/out", sys.executable, "-c", start),
            ],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "OXIPICKLE_WITHOUT": without},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"callgrind of {side} failed:\n{done.stderr[-2000:]}")
        marks = len(list(pathlib.Path(folder).glob("out.*")))
        if marks != 3 * len(names):
            raise SystemExit(f"{marks} marks and not three for each of {len(names)} rows")
        parts = [_total(pathlib.Path(folder) / f"out.{n + 1}") for n in range(3 * len(names))]
    return {
        name: (parts[3 * number + 2] - parts[3 * number + 1]) / (LONG - SHORT)
        for number, name in enumerate(names)
    }


def _total(part: pathlib.Path) -> int:
    """Instructions between the mark that made this file and the one before."""
    with part.open() as file:
        for line in file:
            if line.startswith("summary:"):
                return int(line.split()[1])
    raise ValueError(f"{part.name} has no summary")


def _says(*command: str) -> str | None:
    """What a program says of its version; None if it is not there."""
    if shutil.which(command[0]) is None:
        return None
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return found[0] if found else text.strip()


def compared(
    counted: dict[str, dict[str, float]], recorded: dict[str, dict[str, float]]
) -> tuple[list[str], list[str]]:
    """Rows that take more than recorded by over `TOLERANCE`, and those that take as much less.

    A row that only one of them has is among the first: the record is then of another set.
    """
    more, less = [], []
    for name in dict.fromkeys([*recorded, *counted]):
        now = counted.get(name, {}).get(Side.OURS)
        then = recorded.get(name, {}).get(Side.OURS)
        if now is None or then is None:
            more.append(f"{name}: {'not counted' if now is None else 'not recorded'}")
        elif abs(now / then - 1) > TOLERANCE:
            found = more if now > then else less
            found.append(f"{name}: {now:.0f}, recorded {then:.0f} ({now / then - 1:+.1%})")
    return more, less


def _print_savings(names: list[str]) -> None:
    """How many times as many instructions each row takes without a lever; from 2 % on."""
    check_levers(names)
    on = _count_once(Side.OURS, *LAYOUTS[0])
    for lever in names:
        off = _count_once(Side.OURS, *LAYOUTS[0], without=lever)
        savings = {name: off[name] / on[name] for name in on}
        print(f"without {lever}:")
        for name, saving in sorted(savings.items(), key=lambda item: -item[1]):
            if abs(saving - 1) >= 0.02:
                print(f"{saving:6.2f}  {name}")


def main(
    record: Annotated[bool, typer.Option(help="Write what was counted.")] = False,
    results: Annotated[pathlib.Path, typer.Option(help="Folder of the records.")] = RESULTS,
    without: Annotated[
        list[str] | None, typer.Option(help="Print what these levers save, one by one.")
    ] = None,
    under_callgrind: Annotated[Side | None, typer.Option(hidden=True)] = None,
) -> None:
    """Count instructions of both sides; exit code 1 if ours take more than is recorded."""
    if under_callgrind is not None:
        _under_callgrind(under_callgrind)
        return
    valgrind = _says("valgrind", "--version")
    if valgrind is None:
        print("valgrind is not installed")
        raise typer.Exit(2)
    if without:
        _print_savings(without)
        return
    path = results / f"instructions-{result_name()}.json"
    if not record and not path.exists():
        print(f"nothing to compare with: {path.name} is not there; --record makes it")
        raise typer.Exit(2)
    ours, stock = _count(Side.OURS), _count(Side.STOCK)
    rows = {
        name: {Side.STOCK: round(stock[name], 1), Side.OURS: round(ours[name], 1)} for name in ours
    }
    where = {**_report.environment(), "rustc": _says("rustc", "--version"), "valgrind": valgrind}
    print(f"{'':30}{'C':>10}{'oxipickle':>10}  ratio")
    for name, row in rows.items():
        c, o = row[Side.STOCK], row[Side.OURS]
        print(f"{name:30}{c:10.0f}{o:10.0f}{c / o:7.2f}")
    if record:
        document = {"environment": where, "rows": rows}
        results.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        return
    document = json.loads(path.read_text(encoding="utf-8"))
    for name in ("rustc", "valgrind"):
        if where[name] != document["environment"][name]:
            print(f"recorded with {name} {document['environment'][name]}, this is {where[name]}")
    more, less = compared(rows, document["rows"])
    for title, found in (("less than recorded", less), ("MORE than recorded", more)):
        if found:
            print(f"{title}:", *found, sep="\n  ")
    if more:
        print("if this is meant, record it anew: --record")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
