"""How long Ctrl-C waits in the middle of a dump or load; C beside ours.

    python benches/interrupts.py        prints a table (POSIX)

A shell sends the signal and says when; the handler, written in Python, notes the time. The cost of
looking for signals is too small for a table: one call for each 64 KiB written to or read from a
file, or for each 16,384 opcodes in memory.
"""

import gc
import io
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

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


def main() -> None:
    """Print the table."""
    gc.disable()
    lists = [[i, str(i)] for i in range(2_000_000)]
    large = [bytes((1 << 20) + i) for i in range(1024)]
    print("| milliseconds until Ctrl-C is answered | C | oxipickle |\n| :-- | --: | --: |")
    for name, obj, protocol in (
        ("2M lists", lists, 4),
        ("2M lists, protocol 2", lists, 2),
        ("1,024 x 1 MiB", large, 5),
    ):
        stream = native.dumps(obj, protocol)
        theirs = works(interpreter_pickle(), obj, protocol, stream)
        ours = works(native, obj, protocol, stream)
        for way in ours:
            print(f"| {name}, {way} | {waited(theirs[way]):.1f} | {waited(ours[way]):.1f} |")


if __name__ == "__main__":
    typer.run(main)
