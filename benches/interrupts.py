"""How long Ctrl-C waits in the middle of a dump or load; C beside ours.

    python benches/interrupts.py               prints a table (POSIX)
    python benches/interrupts.py --only large  only what has this in its name
    python benches/interrupts.py --cost        what looking for signals costs (needs valgrind)

A shell sends the signal and says when; the handler, written in Python, notes the time.

There is one look for each 64 KiB written to or read from a file, or for each 16,384 opcodes in
memory: too little for a clock to see. Callgrind counts instructions instead: those of the
interpreter's functions that are called to look, with all that they call, of those of the whole dump
or load.
"""

import gc
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from oxipickle import _pickle as native
from oxipickle.activation import interpreter_pickle

SEND = 'sleep 0.05; date +%s.%N; kill -INT "$0"'


def waited(work: Callable[[], Any]) -> float:
    """Milliseconds between the signal and its handler."""
    answered = []
    old = signal.signal(signal.SIGINT, lambda *_: answered.append(time.time()))
    try:
        with subprocess.Popen(
            ["sh", "-c", SEND, str(os.getpid())], stdout=subprocess.PIPE, text=True
        ) as shell:
            work()
            sent = float(shell.communicate()[0])
        while not answered:
            time.sleep(0.001)
    finally:
        signal.signal(signal.SIGINT, old)
    return (answered[0] - sent) * 1000


def works(pickle: Any, obj: Any, protocol: int, stream: bytes) -> dict[str, Callable[[], Any]]:
    """The four ways; the results are kept until the signal is answered."""
    return {
        "dumps": lambda: pickle.dumps(obj, protocol),
        "dump": lambda: pickle.dump(obj, io.BytesIO(), protocol),
        "loads": lambda: pickle.loads(stream),
        "load": lambda: pickle.load(io.BytesIO(stream)),
    }


#: What is called to look: by a load, by a dump before 3.13, and by a dump since.
LOOKS = ("Py_MakePendingCalls", "PyOS_InterruptOccurred", "PyThreadState_Get")


def once(way: str) -> None:
    """The work whose instructions are counted."""
    gc.disable()
    lists = [[i, str(i)] for i in range(100_000)]
    works(native, lists, 4, interpreter_pickle().dumps(lists, 4))[way]()


def share_of_looks(way: str) -> str:
    """Instructions of the whole, and of the looks."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "out"
        line = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        line += ["--toggle-collect=*::functions::*_entry*", sys.executable, __file__]
        subprocess.run([*line, "--once", way], check=True, capture_output=True)
        line = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", str(out)]
        listed = subprocess.run(line, check=True, capture_output=True, text=True).stdout

    def counted(name: str) -> int:
        found = re.search(rf"^ *([\d,]+) .*{name}", listed, re.MULTILINE)
        return int(found[1].replace(",", "")) if found else 0

    whole, looks = counted("PROGRAM TOTALS"), sum(counted(rf":{name}\b") for name in LOOKS)
    return f"{whole:,} | {looks:,} | {looks / whole:.4%}"


def cost() -> None:
    """Print what looking for signals costs."""
    print("| 100,000 lists | instructions | to look for signals | share |")
    print("| :-- | --: | --: | --: |")
    for way in ("dumps", "dump", "loads", "load"):
        print(f"| {way} | {share_of_looks(way)} |", flush=True)


def main(
    only: Annotated[str, typer.Option(help="what has this in its name")] = "",
    with_cost: Annotated[bool, typer.Option("--cost", help="count instructions")] = False,
    way_once: Annotated[str, typer.Option("--once", hidden=True)] = "",
) -> None:
    """Print the table."""
    if way_once:
        return once(way_once)
    if with_cost:
        return cost()
    gc.disable()
    print("| milliseconds until Ctrl-C is answered | C | oxipickle |\n| :-- | --: | --: |")
    for name, make, protocol in (
        ("2M lists", lambda: [[i, str(i)] for i in range(2_000_000)], 4),
        ("2M lists, protocol 2", lambda: [[i, str(i)] for i in range(2_000_000)], 2),
        ("1,024 large payloads of 1 MiB", lambda: [bytes((1 << 20) + i) for i in range(1024)], 5),
    ):
        if only not in name:
            continue
        obj = make()
        stream = native.dumps(obj, protocol)
        theirs = works(interpreter_pickle(), obj, protocol, stream)
        ours = works(native, obj, protocol, stream)
        for way in ours:
            print(f"| {name}, {way} | {waited(theirs[way]):.1f} | {waited(ours[way]):.1f} |")


if __name__ == "__main__":
    typer.run(main)
