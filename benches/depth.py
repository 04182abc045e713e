"""Depth: time and memory for each level of a nested object, dumped and loaded.

    python benches/depth.py        writes benches/results/depth-<interpreter>.md (Linux)

Each figure comes from a process of its own. It builds the object from the inside outwards, notes
its resident memory, does one dump or load and reports the processor's time and the peak since, for
each level. Both are linear in the depth if a row's figures stay what they are from left to right. C
is not beside ours: it ends in RecursionError (`docs/faults.md`).
"""

import gc
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Any

import typer
from oxipickle import _pickle as native
from run import RESULTS, result_name

DEPTHS = (100_000, 300_000, 1_000_000)


class Node:
    """A plain instance."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Reduced:
    """Its reduce value is made in Python."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __reduce__(self) -> Any:
        return Reduced, (self.inner,)


KINDS: dict[str, Callable[[Any], Any]] = {
    "list": lambda inner: [inner],
    "tuple": lambda inner: (inner,),
    "dict": lambda inner: {"k": inner},
    "frozenset": lambda inner: frozenset([inner]),
    "instance": Node,
    "`__reduce__` in Python": Reduced,
    "OrderedDict": lambda inner: OrderedDict(k=inner),
}


def status(field: str) -> int:
    """A figure of the process, in bytes."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def built(kind: str, depth: int) -> Any:
    """The object."""
    obj: Any = None
    for _ in range(depth):
        obj = KINDS[kind](obj)
    return obj


def stream(kind: str, depth: int) -> bytes:
    """Its pickle, made in another process: what this one frees would be there to be used again."""
    with tempfile.TemporaryFile() as file:
        process = os.fork()
        if not process:
            file.write(native.dumps(built(kind, depth)))
            file.flush()
            os._exit(0)
        os.waitpid(process, 0)
        file.seek(0)
        return file.read()


def measure(kind: str, depth: int, way: str) -> tuple[float, int]:
    """Seconds of the processor, and bytes that the peak adds."""
    gc.disable()
    if way == "dumps":
        work, given = native.dumps, built(kind, depth)
    else:
        work, given = native.loads, stream(kind, depth)
    before = status("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    start = time.process_time()
    kept = work(given)
    seconds = time.process_time() - start
    peak = status("VmHWM") - before
    assert kept is not None
    return seconds, peak


def of_one(kind: str, depth: int, way: str) -> tuple[float, float]:
    """Nanoseconds and bytes a level, in a process of its own: the best of three."""
    line = [sys.executable, __file__, "--one", kind, "--depth", str(depth), "--way", way]
    env = {name: value for name, value in os.environ.items() if name != "OXIPICKLE_MAX_DEPTH"}
    found = []
    for _ in range(3):
        done = subprocess.run(line, capture_output=True, text=True, check=True, env=env)
        seconds, peak = done.stdout.split()
        found.append((float(seconds) * 1e9 / depth, float(peak) / depth))
    return min(found)


def main(
    one: Annotated[str, typer.Option(hidden=True)] = "",
    depth: Annotated[int, typer.Option(hidden=True)] = 0,
    way: Annotated[str, typer.Option(hidden=True)] = "",
    deepest: Annotated[int, typer.Option(help="leave out what is deeper")] = max(DEPTHS),
    output: Annotated[pathlib.Path, typer.Option(help="folder of the result")] = RESULTS,
) -> None:
    """Write the table."""
    if not sys.platform.startswith("linux"):
        raise SystemExit("this needs Linux, which can set the peak of a process back")
    if one:
        print(*measure(one, depth, way), flush=True)
        os._exit(0)  # to free what is nested is the interpreter's own business
    depths = [depth for depth in DEPTHS if depth <= deepest]
    heads = " | ".join(f"{depth:,}" for depth in depths)
    text = f"# Depth: nanoseconds and bytes for each level\n\n{result_name()}, oxipickle alone.\n\n"
    text += f"| levels | {heads} |\n| :-- |{' --: |' * len(depths)}\n"
    for kind in KINDS:
        for way in ("dumps", "loads"):
            cells = [of_one(kind, depth, way) for depth in depths]
            row = " | ".join(f"{time:.0f} ns, {size:.0f} B" for time, size in cells)
            text += f"| {kind}, {way} | {row} |\n"
            print(text.splitlines()[-1], flush=True)
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"depth-{result_name()}.md"
    path.write_text(text, encoding="utf-8")
    print(path)


if __name__ == "__main__":
    typer.run(main)
