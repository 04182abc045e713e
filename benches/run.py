"""Runs the benchmark set and writes the results; one command makes JSON, tables and the picture.

    python benches/run.py                  all of it, on this interpreter
    python benches/run.py --part set       dumps and loads of every case (also: routes, protocols)
    python benches/run.py --only pandas    cases with this in their name

Results go to `benches/results/`, named after the interpreter. Times come from `_measure`, which
`python -m oxipickle bench` uses as well; nothing is timed here.
"""

import enum
import fnmatch
import json
import pathlib
import platform
import sysconfig
from collections.abc import Callable
from typing import Annotated, Any

import cases as benchmark_set
import report
import typer
from oxipickle import HIGHEST_PROTOCOL, _report
from oxipickle._measure import (
    ROUTES,
    Case,
    Row,
    Subject,
    check,
    marshal_subject,
    measure,
    pickle_subjects,
)
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

RESULTS = pathlib.Path(__file__).parent / "results"

# Other routes and protocols are measured on cases that differ in where their time goes.
SAMPLED = (
    "pickle",
    "100k ASCII strings",
    "documents, 1M values",
    "dataclasses",
    "datetimes",
    "10 MB of bytes",
    "dict of four",
    "one dataclass",
    "large array",
    "small arrays",
)
OUT_OF_BAND = ("large array", "small arrays", "DataFrame")


class Part(enum.StrEnum):
    """What to measure."""

    SET = "set"
    ROUTES = "routes"
    PROTOCOLS = "protocols"
    ALL = "all"


def _round_trips(dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]) -> Any:
    """Whether a library gives back an equal object; only then is it compared."""
    plain = marshal_subject().can_hold

    def can_hold(obj: Any) -> bool:
        if not plain(obj):
            return False
        try:
            return bool(loads(dumps(obj)) == obj)
        except Exception:  # each library has errors of its own
            return False

    return can_hold


class _Functions:
    """An encoder and a decoder under the names that a pickle has."""

    def __init__(self, dumps: Callable[[Any], bytes], loads: Callable[[bytes], Any]) -> None:
        self.dumps = dumps
        self.loads = loads


def rivals() -> tuple[list[Subject], list[str]]:
    """Serializers with formats of their own; and a sentence for each that is not installed."""
    found, missing = [], []
    try:
        import orjson
    except ImportError:
        missing.append("no column for orjson: it is not installed")
    else:
        api = _Functions(orjson.dumps, orjson.loads)
        found.append(Subject("orjson", api, False, _round_trips(api.dumps, api.loads)))
    try:
        import msgspec
    except ImportError:
        missing.append("no column for msgspec: it is not installed")
    else:
        # Made once, as its documentation recommends.
        api = _Functions(msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode)
        found.append(Subject("msgspec", api, False, _round_trips(api.dumps, api.loads)))
    return found, missing


def _plan(cases: list[Case], part: Part, protocol: int) -> list[tuple[Case, list[str], int, bool]]:
    """What to measure: case, routes, protocol, and whether beside marshal and the rivals."""
    plan: list[tuple[Case, list[str], int, bool]] = []
    if part in (Part.SET, Part.ALL):
        plan += [(case, ["dumps", "loads"], protocol, True) for case in cases]
    sampled = [case for case in cases if case.name in SAMPLED]
    if part in (Part.ROUTES, Part.ALL):
        usual = [name for name in ROUTES if "band" not in name and name not in ("dumps", "loads")]
        plan += [(case, usual, protocol, False) for case in sampled]
        plan += [
            (case, ["dumps, out of band", "loads, out of band"], 5, False)
            for case in cases
            if case.name in OUT_OF_BAND
        ]
    if part in (Part.PROTOCOLS, Part.ALL):
        plan += [
            (case, ["dumps", "loads"], other, False)
            for case in sampled
            for other in range(2, HIGHEST_PROTOCOL + 1)
            if other != protocol or part is Part.PROTOCOLS
        ]
    return plan


def result_name() -> str:
    """The interpreter, as the name of a file."""
    threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return f"{platform.python_implementation().lower()}-{platform.python_version()}{threads}"


def main(
    part: Annotated[Part, typer.Option(help="What to measure.")] = Part.ALL,
    only: Annotated[list[str] | None, typer.Option(help="Cases with this in their name.")] = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="Time for each row.")] = 1.0,
    protocol: Annotated[int, typer.Option(min=0, max=HIGHEST_PROTOCOL)] = HIGHEST_PROTOCOL,
    output: Annotated[pathlib.Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Measure the benchmark set on this interpreter; write JSON, tables and a picture."""
    console = Console(stderr=True)
    others, missing = rivals()
    missing += benchmark_set.absent()
    cases = benchmark_set.cases()
    if only:
        cases = [c for c in cases if any(fnmatch.fnmatch(c.name, f"*{word}*") for word in only)]
    plan = _plan(cases, part, protocol)
    if not plan:
        console.print("no such case", style="red")
        raise typer.Exit(2)

    rows: list[Row] = []
    differences: dict[str, str] = {}
    pickles = pickle_subjects()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("", total=len(plan))
        for case, routes, written, compared in plan:
            progress.update(task, description=case.name)
            subjects = [*pickles, marshal_subject(), *others] if compared else pickles
            if compared and (fault := check(case, pickles, written)) is not None:
                differences[case.name] = fault
            rows += measure(case, routes, subjects, protocol=written, seconds=seconds)
            progress.advance(task)

    document = _report.as_json(
        rows, _report.environment(), not_measured=missing, differences=differences
    )
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{result_name()}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    report.write(path)
    console.print(f"written: {path.stem}.json, .md and, with matplotlib, .svg")
    for sentence in missing:
        console.print(sentence)
    for name, fault in differences.items():
        console.print(f"{name}: {fault}", style="red")
    if differences:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
