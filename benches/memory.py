"""Memory: peak while dumping and loading, and what the loaded objects keep; C beside ours.

    python benches/memory.py        writes benches/results/memory-<interpreter>.json and .md

Each figure comes from a process of its own, which makes the data, notes its resident memory, does
one operation and reports the peak since. Linux can set the peak back in between, which this needs;
elsewhere it ends with a message. No time is measured here.
"""

import array
import gc
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable
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
GIB = 1 << 30


class Temporary:
    """Its reduce value is made anew each time and is kept alive by a memo alone."""

    def __reduce__(self) -> Any:
        return list, (), None, iter([[1.5], "text", [2.5]])


#: What is about memory and not about speed: a payload goes through whole, a long list in frames.
PAYLOADS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "1 GiB of bytes, from and to a file": (lambda: bytes(GIB), ("dump", "load")),
    "1 GiB of bytearray": (lambda: bytearray(GIB), ("dump", "load")),
    "1 GiB of ASCII text": (lambda: "x" * GIB, ("dump", "load")),
    "512 MiB of other text, 1 GiB in UTF-8": (lambda: "é" * (GIB // 2), ("dump", "load")),
    "PickleBuffer over an array of 1 GiB": (
        lambda: interpreter_pickle().PickleBuffer(array.array("d", bytes(8)) * (GIB // 8)),
        ("dump",),
    ),
    "1,024 bytes objects of 1 MiB": (
        lambda: [bytes(1 << 20) for _ in range(1024)],
        ("dump", "load"),
    ),
    "1,024 strings of 1 MiB": (lambda: ["x" * (1 << 20) for _ in range(1024)], ("dump", "load")),
    "list of a million ints": (lambda: list(range(1000, 1_001_000)), ("dump",)),
    "200k objects with temporary reduce values": (
        lambda: [Temporary() for _ in range(200_000)],
        ("dump", "kept Pickler"),
    ),
}
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
    if name in PAYLOADS:
        make = PAYLOADS[name][0]
    else:
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
            case "kept Pickler":
                result = pickle.Pickler(Sink(), 5)
                result.dump(given)
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
    only: Annotated[list[str] | None, typer.Option(help="Cases with this in their name.")] = None,
) -> None:
    """Measure peaks and what loaded objects keep, in processes of their own."""
    if not CLEAR.exists():
        print("only Linux can set back the peak of a process: nothing was measured")
        raise typer.Exit(2)
    plan = {case.name: OPERATIONS for case in cases.cases() if case.name in CASES}
    plan |= {name: operations for name, (_, operations) in PAYLOADS.items()}
    if only:
        plan = {name: plan[name] for name in plan if any(part in name for part in only)}
    output.mkdir(parents=True, exist_ok=True)
    scratch = output / "memory.tmp"
    rows = []
    try:
        for name, operations in track(plan.items(), "memory"):
            if {"loads", "load"} & set(operations):
                _run(name, "C", "prepare", scratch)
            else:
                scratch.touch()
            for operation in operations:
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
    if len(sys.argv) == 5 and sys.argv[3] in ("prepare", "kept Pickler", *OPERATIONS):
        _child(*sys.argv[1:4], scratch=pathlib.Path(sys.argv[4]))
    else:
        typer.run(main)
