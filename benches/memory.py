"""Memory: peak while dumping and loading, and what the loaded objects keep; C beside ours.

    python benches/memory.py        writes benches/results/memory-<interpreter>.json and .md

Each figure comes from a process of its own, which makes the data, notes its resident memory, does
one operation and reports the peak since. Linux can set the peak back in between, which this needs;
elsewhere it ends with a message. No time is measured here.
"""

import gc
import json
import pathlib
import subprocess
import sys
from typing import Annotated, Any

import cases
import typer
from oxipickle import _pickle as native
from oxipickle import _report
from oxipickle.activation import interpreter_pickle
from rich.progress import track
from run import RESULTS, result_name

CASES = (
    "100k ints",
    "100k ASCII strings",
    "100k other strings, fresh",
    "documents, 1M values",
    "dataclasses, fresh",
    "slotted dataclasses",
    "plain instances, fresh",
    "graph, 20k nodes",
    "datetimes",
    "10 MB of bytes",
    "1 GiB of bytes",
)
OPERATIONS = ("dumps", "dump", "loads", "load")
STATUS = pathlib.Path("/proc/self/status")
CLEAR = pathlib.Path("/proc/self/clear_refs")


def _kilobytes(field: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(field)


class Sink:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes


def _child(name: str, side: str, operation: str, scratch: pathlib.Path) -> None:
    """Does one operation and prints its peak and what it kept, in bytes.

    With `prepare` it writes the pickle that the loading operations read, in a process of its own,
    so that these do not find memory that the original objects have left behind.
    """
    pickle: Any = native if side == "oxipickle" else interpreter_pickle()
    make = next(case.make for case in cases.cases() if case.name == name)
    if operation == "prepare":
        with scratch.open("wb") as file:
            pickle.dump(make(), file, 5)
        return
    pickle.loads(pickle.dumps([0]))  # whatever is made once
    with scratch.open("rb") as file:
        given: Any = {"loads": file.read, "load": lambda: file}.get(operation, make)()
        gc.collect()
        gc.disable()
        before = _kilobytes("VmRSS")
        CLEAR.write_text("5")
        match operation:
            case "dumps":
                result = pickle.dumps(given, 5)
            case "dump":
                result = pickle.dump(given, Sink(), 5)
            case "loads":
                result = pickle.loads(given)
            case _:
                result = pickle.load(given)
        peak = _kilobytes("VmHWM")
        after = _kilobytes("VmRSS")
    print(json.dumps({"peak": (peak - before) * 1024, "kept": (after - before) * 1024}))
    del result


def _run(name: str, side: str, operation: str, scratch: pathlib.Path) -> str:
    arguments = [sys.executable, __file__, name, side, operation, str(scratch)]
    return subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True).stdout


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f}"


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| MiB | peak, C | peak, oxipickle | kept, C | kept, oxipickle |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for row in rows:
        cells = [
            _megabytes(row[side][what]) for what in ("peak", "kept") for side in ("C", "oxipickle")
        ]
        lines.append(f"| {row['case']}, {row['operation']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(
    output: Annotated[pathlib.Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Measure peaks and what loaded objects keep, in processes of their own."""
    if not CLEAR.exists():
        print("only Linux can set back the peak of a process: nothing was measured")
        raise typer.Exit(2)
    names = [case.name for case in cases.cases() if case.name in CASES]
    output.mkdir(parents=True, exist_ok=True)
    scratch = output / "memory.tmp"
    rows = []
    try:
        for name in track(names, "memory"):
            _run(name, "C", "prepare", scratch)
            for operation in OPERATIONS:
                sides = {
                    side: json.loads(_run(name, side, operation, scratch))
                    for side in ("C", "oxipickle")
                }
                rows.append({"case": name, "operation": operation, **sides})
    finally:
        scratch.unlink(missing_ok=True)
    where = _report.environment()
    path = output / f"memory-{result_name()}.json"
    path.write_text(json.dumps({"environment": where, "rows": rows}, indent=1) + "\n")
    path.with_suffix(".md").write_text(
        f"# Memory, {where['implementation']} {where['python']}\n\n"
        "Resident memory that one operation adds: at its peak, and while its result is held. "
        f"{_report.environment_line(where)}.\n\n{_table(rows)}\n"
    )


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[3] in ("prepare", *OPERATIONS):
        _child(*sys.argv[1:4], scratch=pathlib.Path(sys.argv[4]))
    else:
        typer.run(main)
