"""Runs the benchmark set and writes the results; one command makes JSON, tables and the picture.

    python benches/run.py                  all parts, on this interpreter
    python benches/run.py --part set       dumps and loads of every case
    python benches/run.py --part others    beside orjson and msgspec, on data that they can hold
    python benches/run.py --part routes    files, buffers out of band, objects, and subclasses
    python benches/run.py --part protocols protocols 2 to 5
    python benches/run.py --only pandas    cases with this in their name, to be looked at only
    python benches/run.py --without names  what a lever gains, in a build with the feature `levers`

Results go to `benches/results/`, named after the interpreter; parts that are not measured stay as
they are there. `nox -s figures` makes an environment with all libraries first. Times come from
`_measure`, which `python -m oxipickle bench` uses as well; nothing is timed here.
"""

import enum
import fnmatch
import hashlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import cases as benchmark_set
import report
import typer
from oxipickle import HIGHEST_PROTOCOL, _pickle, _report
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
    OTHERS = "others"
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


@dataclass(frozen=True, slots=True)
class Step:
    """One case, measured in some ways."""

    part: Part
    case: Case
    routes: tuple[str, ...]
    protocol: int


DIRECT = ("dumps", "loads")


def _plan(cases: list[Case], part: Part, protocol: int) -> list[Step]:
    """What to measure, part by part."""
    plan: list[Step] = []
    if part in (Part.SET, Part.ALL):
        plan += [Step(Part.SET, case, DIRECT, protocol) for case in cases]
    if part in (Part.OTHERS, Part.ALL):
        held = benchmark_set.cases_for_others()
        plan += [Step(Part.OTHERS, case, DIRECT, protocol) for case in held]
    sampled = [case for case in cases if case.name in SAMPLED]
    if part in (Part.ROUTES, Part.ALL):
        usual = tuple(name for name in ROUTES if "band" not in name and name not in DIRECT)
        plan += [Step(Part.ROUTES, case, usual, protocol) for case in sampled]
        outside = ("dumps, out of band", "loads, out of band")
        plan += [Step(Part.ROUTES, case, outside, 5) for case in cases if case.name in OUT_OF_BAND]
    if part in (Part.PROTOCOLS, Part.ALL):
        plan += [
            Step(Part.PROTOCOLS, case, DIRECT, other)
            for case in sampled
            for other in range(2, HIGHEST_PROTOCOL + 1)
        ]
    return plan


def _extension() -> str:
    """A digest of the extension's file: parts measured with the same build have the same."""
    assert _pickle.__file__ is not None
    return hashlib.sha256(pathlib.Path(_pickle.__file__).read_bytes()).hexdigest()[:12]


def _merged(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The rows of `now`, and those of `before` whose parts were not measured this time.

    What was found on another machine or interpreter is left out.
    """
    if before.get("environment") != now["environment"]:
        return now
    kept = [row for row in before["rows"] if row["part"] not in now["extensions"]]
    order = list(Part)
    rows = sorted([*kept, *now["rows"]], key=lambda row: order.index(row["part"]))
    return {
        **now,
        "extensions": {**before["extensions"], **now["extensions"]},
        "differences": {**before["differences"], **now["differences"]},
        "rows": rows,
    }


def result_name() -> str:
    """The interpreter, as the name of a file."""
    threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return f"{platform.python_implementation().lower()}-{platform.python_version()}{threads}"


def _document(
    done: list[tuple[Part, list[Row]]], missing: list[str], differences: dict[str, str]
) -> dict[str, Any]:
    """All rows with the part that each belongs to, and with what they were measured."""
    rows = [row for _, of_step in done for row in of_step]
    parts = [part for part, of_step in done for _ in of_step]
    document = _report.as_json(
        rows,
        _report.environment(),
        extensions=dict.fromkeys(map(str, parts), _extension()),
        not_measured=missing,
        differences=differences,
    )
    del document["geometric mean"]  # of all parts together it says nothing; the tables have each
    document["rows"] = [
        {"part": str(part), **row} for part, row in zip(parts, document["rows"], strict=True)
    ]
    return document


def _write(document: dict[str, Any], output: pathlib.Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{result_name()}.json"
    if path.exists():
        document = _merged(json.loads(path.read_text(encoding="utf-8")), document)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    report.write(path)


def _ratios(folder: str) -> dict[tuple[str, str, int], float]:
    (path,) = pathlib.Path(folder).glob("*.json")
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {(row["case"], row["route"], row["protocol"]): row["ratio"] for row in rows}


def check_levers(names: list[str]) -> None:
    """Raises typer.BadParameter if this build does not know one of these levers."""
    # A name that is none makes a build with the feature say which there are.
    done = subprocess.run(
        [sys.executable, "-c", "import oxipickle"],
        env={**os.environ, "OXIPICKLE_WITHOUT": "?"},
        capture_output=True,
        text=True,
        check=False,
    )
    known = done.stderr.rpartition("none of: ")[2].split() if done.returncode else []
    if not set(names) <= set(known):
        listed = " ".join(known) or "no levers: it lacks the feature of that name"
        raise typer.BadParameter(f"this build has {listed}", param_hint="--without")


def _print_gain(lever: str, arguments: list[str]) -> None:
    """Measures in a process without the lever and in one with all; prints the rows that differ."""
    check_levers([lever])
    found = []
    for without in (lever, ""):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(
                [sys.executable, __file__, *arguments, "--output", folder],
                env={**os.environ, "OXIPICKLE_WITHOUT": without},
                check=True,
            )
            found.append(_ratios(folder))
    off, on = found
    gains = {row: on[row] / off[row] for row in on}
    for (case, route, protocol), gain in sorted(gains.items(), key=lambda item: -item[1]):
        if abs(gain - 1) >= 0.02:
            print(f"{gain:6.2f}  {route} {case}, protocol {protocol}")


def main(
    part: Annotated[Part, typer.Option(help="What to measure.")] = Part.ALL,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Cases with this in their name; printed, and written to --output only."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="Time for each row.")] = 1.0,
    protocol: Annotated[int, typer.Option(min=0, max=HIGHEST_PROTOCOL)] = HIGHEST_PROTOCOL,
    output: Annotated[pathlib.Path | None, typer.Option(help="Folder for the results.")] = None,
    without: Annotated[
        str, typer.Option(help="Print how many times as fast this lever makes each row.")
    ] = "",
) -> None:
    """Measure the benchmark set on this interpreter; write JSON, tables and a picture."""
    if without:
        arguments = [f"--part={part}", f"--seconds={seconds}", f"--protocol={protocol}"]
        _print_gain(without, arguments + [f"--only={word}" for word in only or ()])
        return
    console = Console(stderr=True)
    others, missing = rivals()
    missing += benchmark_set.absent()
    plan = _plan(benchmark_set.cases(), part, protocol)
    if only:
        plan = [
            step
            for step in plan
            if any(fnmatch.fnmatch(step.case.name, f"*{word}*") for word in only)
        ]
    if not plan:
        console.print("no such case", style="red")
        raise typer.Exit(2)

    done: list[tuple[Part, list[Row]]] = []
    differences: dict[str, str] = {}
    pickles = pickle_subjects()
    beside = {Part.SET: [marshal_subject()], Part.OTHERS: others}
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("", total=len(plan))
        for step in plan:
            case, written = step.case, step.protocol
            progress.update(task, description=case.name)
            if (fault := check(case, pickles, written)) is not None:
                differences[case.name] = fault
            subjects = [*pickles, *beside.get(step.part, [])]
            rows = measure(case, step.routes, subjects, protocol=written, seconds=seconds)
            done.append((step.part, rows))
            progress.advance(task)

    document = _document(done, missing, differences)
    if output is None and only:
        print(report.markdown(document))
    else:
        _write(document, output or RESULTS)
        console.print(f"written: {result_name()}.json, .md and, with matplotlib, .svg")
        for sentence in missing:
            console.print(sentence)
        for name, fault in differences.items():
            console.print(f"{name}: {fault}", style="red")
    if differences:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
