"""Faults of pickling, each run in a process of its own with C's `_pickle` and with oxipickle.

    python tests/faults.py                         the table for this interpreter
    python tests/faults.py --json one.json         its outcomes, for the table of several
    python tests/faults.py --markdown docs/faults.md one.json two.json ...
                                                   writes the table between the marks in that file

A fault is a program that ends by saying how it came out. A child that a signal ends has crashed, one that
takes minutes hangs. Unix only: memory limits and signals. `test_faults.py` asks for our outcomes and
for C's failures, so that a row that C has learnt to survive is noticed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parent
TIMEOUT = 120
MARKS = ("<!-- faults: made by `python tests/faults.py`; do not edit -->", "<!-- faults end -->")

PRELUDE = """
import collections, gc, io, os, signal, sys, threading
# A shell's background job comes with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("OXIPICKLE_MAX_DEPTH", None)
gc.disable()
from support import c, ox
mod = {"C": c, "oxipickle": ox}[sys.argv[1]]
DEEP = 1_000_000

def say(text):
    print("END", text, flush=True)
    os._exit(0)

def outcome(function, *args):
    try:
        function(*args)
    except BaseException as error:
        return type(error).__name__
    return "works"

def chain(wrap, depth):
    obj = "end"
    for _ in range(depth):
        obj = wrap(obj)
    return obj

class Node:
    def __init__(self, next=None):
        self.next = next

class Reduced(Node):
    def __reduce__(self):
        return Reduced, (self.next,)

class Stated(Node):
    def __getstate__(self):
        return [self.next]
    def __setstate__(self, state):
        self.next, = state

def round_trip(obj):
    mod.loads(mod.dumps(obj, 4))

def reserved(read, stream):
    def peak():
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmPeak"))
    before = peak()
    text = outcome(read, stream)
    mib = round((peak() - before) / 1024 / 16) * 16
    say(f"{text}, reserves {mib} MiB" if mib >= 16 else text)
"""


class Fault(NamedTuple):
    """One row: what is wrong, CPython's issue, the program, and how it is to end with us."""

    group: str
    what: str
    issue: str
    code: str
    ours: str


FAULTS = {
    "list": Fault(
        "Depth", "A list, 1,000,000 levels deep", "128590",
        "say(outcome(round_trip, chain(lambda inner: [inner], DEEP)))", "works",
    ),
    "dict": Fault(
        "Depth", "A dict, 1,000,000 levels deep", "128590",
        "say(outcome(round_trip, chain(lambda inner: {'k': inner}, DEEP)))", "works",
    ),
    "instances": Fault(
        "Depth", "1,000,000 instances linked through an attribute", "112282",
        "say(outcome(round_trip, chain(Node, DEEP)))", "works",
    ),
    "reduce": Fault(
        "Depth", "1,000,000 objects linked through `__reduce__` in Python", "",
        "say(outcome(round_trip, chain(Reduced, DEEP)))", "works",
    ),
    "getstate": Fault(
        "Depth", "1,000,000 objects linked through `__getstate__` in Python", "",
        "say(outcome(round_trip, chain(Stated, DEEP)))", "works",
    ),
    "deque": Fault(
        "Depth", "1,000,000 deques, each in the one before", "",
        "deep = chain(lambda inner: collections.deque([inner]), DEEP)\nsay(outcome(mod.dumps, deep))",
        "works",
    ),
    "raised": Fault(
        "Depth", "A list, 100,000 levels deep, with `sys.setrecursionlimit(1_000_000)`", "112282",
        "sys.setrecursionlimit(1_000_000)\n"
        "say(outcome(round_trip, chain(lambda inner: [inner], 100_000)))", "works",
    ),
    "small stack": Fault(
        "Depth", "The same in a thread with 256 KiB of stack, 20,000 levels", "",
        """
        sys.setrecursionlimit(1_000_000)
        deep = chain(lambda inner: [inner], 20_000)
        threading.stack_size(256 * 1024)
        # Kept: to free it in so little stack is the interpreter's own business.
        kept = []
        work = lambda: kept.append(mod.loads(mod.dumps(deep)))
        thread = threading.Thread(target=lambda: say(outcome(work)))
        thread.start()
        thread.join()
        """, "works",
    ),
    "endless": Fault(
        "Depth", "Reducers without an end, with the recursion limit raised", "",
        """
        class Endless:
            def __reduce__(self):
                return Endless, (Endless(),)
        sys.setrecursionlimit(10_000_000)
        say(outcome(mod.dumps, Endless()))
        """, "RecursionError",
    ),
    "memo index": Fault(
        "Hostile streams", "8 bytes: a memo index of 2^27", "78837",
        "reserved(mod.loads, b'Nr\\xff\\xff\\xff\\x07.')", "works",
    ),
    "PUT": Fault(
        "Hostile streams", "A memo index of 100,000,000 in PUT", "115952",
        "reserved(mod.loads, b'Np100000000\\n.')", "works",
    ),
    "BINBYTES8": Fault(
        "Hostile streams", "13 bytes: BINBYTES8 of 512 MiB, `load`", "115952",
        "reserved(mod.load, io.BytesIO(b'\\x8e' + (1 << 29).to_bytes(8, 'little') + b'abcd'))",
        "UnpicklingError",
    ),
    "BYTEARRAY8": Fault(
        "Hostile streams", "13 bytes: BYTEARRAY8 of 512 MiB, `load`", "115952",
        "reserved(mod.load, io.BytesIO(b'\\x96' + (1 << 29).to_bytes(8, 'little') + b'abcd'))",
        "UnpicklingError",
    ),
    "BINUNICODE8": Fault(
        "Hostile streams", "BINUNICODE8 of 512 MiB, `load` from a file that fills buffers", "115952",
        """
        class Reads(io.RawIOBase):
            data = b"\\x8d" + (1 << 29).to_bytes(8, "little") + b"abcd"
            def readable(self):
                return True
            def readinto(self, buffer):
                part, self.data = self.data[:len(buffer)], self.data[len(buffer):]
                buffer[:len(part)] = part
                return len(part)
        reserved(mod.load, io.BufferedReader(Reads()))
        """, "UnpicklingError",
    ),
    "FRAME": Fault(
        "Hostile streams", "13 bytes: FRAME of 512 MiB, `load` from a buffered file", "115952",
        "reserved(mod.load, io.BufferedReader(io.BytesIO("
        "b'\\x80\\x04\\x95' + (1 << 29).to_bytes(8, 'little') + b'N.')))", "UnpicklingError",
    ),
    "LONG4": Fault(
        "Hostile streams", "LONG4 of 512 MiB, `load` from a buffered file", "115952",
        "reserved(mod.load, io.BufferedReader(io.BytesIO("
        "b'\\x8b' + (1 << 29).to_bytes(4, 'little') + b'abcd')))", "UnpicklingError",
    ),
    "persistent_id": Fault(
        "Re-entrancy", "`persistent_id` dumps with its own Pickler", "143638",
        """
        class P(mod.Pickler):
            def persistent_id(self, obj):
                if obj == "again":
                    self.dump(["inner"] * 100)
        out = io.BytesIO()
        say(outcome(P(out).dump, [["a"], "again", {"k": "again"}] * 50))
        """, "RuntimeError",
    ),
    "__init__ in a dump": Fault(
        "Re-entrancy", "`__reduce__` calls `__init__` of the Pickler that is saving it", "143638",
        """
        class Again:
            def __reduce__(self):
                pickler.__init__(io.BytesIO())
                return list, ()
        pickler = mod.Pickler(io.BytesIO())
        say(outcome(pickler.dump, [Again(), [1], Again()]))
        """, "RuntimeError",
    ),
    "buffer_callback": Fault(
        "Re-entrancy", "`buffer_callback` dumps with its own Pickler", "143638",
        """
        def callback(buffer):
            if len(calls) < 10_000:
                calls.append(1)
                pickler.dump([c.PickleBuffer(b"x")])
        calls = []
        pickler = mod.Pickler(io.BytesIO(), 5, buffer_callback=callback)
        say(outcome(pickler.dump, [c.PickleBuffer(b"x")] * 10))
        """, "RuntimeError",
    ),
    "buffer released": Fault(
        "Re-entrancy", "The truth of what `buffer_callback` returns releases the buffer", "143308",
        """
        class Releases:
            def __bool__(self):
                buffer.release()
                return True
        buffer = c.PickleBuffer(bytearray(b"x" * 100_000))
        say(outcome(lambda: mod.dumps([buffer], 5, buffer_callback=lambda b: Releases())))
        """, "works",
    ),
    "find_class loads": Fault(
        "Re-entrancy", "`find_class` loads with its own Unpickler", "143638",
        """
        class U(mod.Unpickler):
            def find_class(self, module, name):
                try:
                    self.load()
                finally:
                    return list
        stream = b"(" + b"cbuiltins\\nlist\\n" * 2 + b"K\\x01K\\x02t."
        source = io.BytesIO(stream + b"(]]]t." * 3)
        unpickler = U(source)
        try:
            loaded = unpickler.load()
        except BaseException as error:
            say(type(error).__name__)
        say("works" if loaded == (list, list, 1, 2) else "another object is loaded")
        """, "works",
    ),
    "SETITEM": Fault(
        "Re-entrancy", "`__hash__` of a key calls `__init__` of the Unpickler", "143639",
        """
        class Key:
            def __hash__(self):
                try:
                    unpickler.__init__(io.BytesIO(b"N."))
                except RuntimeError:
                    pass
                return 1
        import __main__
        stream = b"}(" + (b"c__main__\\nKey\\n)\\x81K\\x01" * 3) + b"u."
        unpickler = mod.Unpickler(io.BytesIO(stream))
        try:
            loaded = unpickler.load()
        except BaseException as error:
            say(type(error).__name__)
        say("works" if type(loaded) is dict else "another object is loaded")
        """, "works",
    ),
    "empty memo": Fault(
        "Re-entrancy", "The memo of an Unpickler is replaced by an empty dict", "",
        """
        unpickler = mod.Unpickler(io.BytesIO(b"]q\\x00h\\x00\\x86."))
        unpickler.memo = {}
        say(outcome(unpickler.load))
        """, "works",
    ),
    "readinto": Fault(
        "Re-entrancy", "`readinto` keeps its view of a payload and writes to it later", "151046",
        """
        class Keeps:
            def __init__(self, stream):
                inner = io.BytesIO(stream)
                self.read, self.readline, self.inner = inner.read, inner.readline, inner
            def readinto(self, view):
                views.append(view)
                return self.inner.readinto(view)
        views = []
        payload = b"x" * 300_000
        loaded = mod.load(Keeps(c.dumps(payload, 5)))
        for view in views:
            try:
                view[:] = b"y" * len(view)
            except (ValueError, TypeError):
                pass
        say("works" if loaded == payload else "the bytes object is changed")
        """, "works",
    ),
    "Ctrl-C in dumps": Fault(
        "Ctrl-C", "Ctrl-C at the start of a `dumps` of 3,000,000 objects", "",
        """
        import _thread, itertools
        left = iter(range(3_000_000))
        class Long:
            def __reduce__(self):
                raising = map(_thread.interrupt_main, [2])
                return list, (), None, itertools.chain(raising, left)
        try:
            mod.dumps(Long())
        except KeyboardInterrupt:
            pass
        say("stops" if next(left, 3_000_000) < 300_000 else "goes on to its end")
        """, "stops",
    ),
    "Ctrl-C in load": Fault(
        "Ctrl-C", "Ctrl-C at the start of a `load` of 1,500,000 objects", "",
        """
        file = io.BytesIO(b"(c_thread\\ninterrupt_main\\nK\\x02\\x85R" + b"]" * 1_500_000 + b"t.")
        try:
            mod.load(file)
        except KeyboardInterrupt:
            pass
        say("stops" if file.tell() < 700_000 else "goes on to its end")
        """.replace("\\\\", "\\"), "stops",
    ),
    "copies": Fault(
        "Memory", "`dump` of a `str` of 256 MiB to a file", "76174",
        """
        text = "x" * (256 << 20)
        class Sink:
            def write(self, data):
                return memoryview(data).nbytes
        def peak():
            with open("/proc/self/status") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        before = peak()
        mod.dump(text, Sink(), 5)
        mib = (peak() - before) // 1024
        say("no copy" if mib < 16 else f"{round(mib / 256)} more in memory")
        """, "no copy",
    ),
    "text": Fault(
        "Memory", "A `str` that is not ASCII, after it was dumped to a file", "",
        """
        text = "é" * 1_000_000
        before = sys.getsizeof(text)
        mod.dump(text, io.BytesIO(), 5)
        more = sys.getsizeof(text) - before
        say("as before" if not more else "keeps its UTF-8")
        """, "as before",
    ),
}  # fmt: skip


def run(name: str, side: str) -> str:
    """How the fault ends: `side` is "C" or "oxipickle"."""
    env = dict(os.environ)
    path = [str(TESTS), *(entry for entry in sys.path if entry)]
    env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    code = PRELUDE + textwrap.dedent(FAULTS[name].code)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, side],
            capture_output=True,
            env=env,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "hangs"
    for line in done.stdout.splitlines():
        if line.startswith("END "):
            return line.removeprefix("END ")
    if done.returncode < 0:
        return f"crash ({signal.Signals(-done.returncode).name})"
    raise RuntimeError(f"{name}, {side}: {done.returncode}\n{done.stderr[-2000:]}")


def measure() -> dict[str, str | dict[str, dict[str, str]]]:
    """Every fault with both sides, on this interpreter."""
    return {
        "python": platform.python_version(),
        "faults": {name: {side: run(name, side) for side in ("C", "oxipickle")} for name in FAULTS},
    }


def _cell(text: str) -> str:
    return f"**{text}**" if text.startswith("crash") else text


def table(results: list[dict[str, object]]) -> str:
    """The table in Markdown, a column for C of each interpreter."""
    versions = [str(result["python"]) for result in results]
    lines = []
    group = ""
    for name, fault in FAULTS.items():
        if fault.group != group:
            group = fault.group
            lines += [
                "",
                f"### {group}",
                "",
                "| Fault | "
                + " | ".join(f"C {version}" for version in versions)
                + " | oxipickle |",
                "| :-- |" + " :-- |" * (len(versions) + 1),
            ]
        link = f" ([gh-{fault.issue}](https://github.com/python/cpython/issues/{fault.issue}))"
        outcomes = [result["faults"][name] for result in results]  # type: ignore[index]
        ours = list(dict.fromkeys(outcome["oxipickle"] for outcome in outcomes))
        cells = [_cell(outcome["C"]) for outcome in outcomes] + [" / ".join(map(_cell, ours))]
        lines.append(f"| {fault.what}{link if fault.issue else ''} | {' | '.join(cells)} |")
    return "\n".join(lines).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write this interpreter's outcomes")
    parser.add_argument("--markdown", type=Path, help="write the table into this file")
    parser.add_argument("results", type=Path, nargs="*", help="outcomes for the table")
    args = parser.parse_args()
    if args.json:
        args.json.write_text(json.dumps(measure(), indent=1) + "\n")
        return
    results = [json.loads(path.read_text()) for path in args.results] or [measure()]
    text = table(results)
    if not args.markdown:
        print(text)
        return
    begin, end = MARKS
    before, _, rest = args.markdown.read_text().partition(begin)
    after = rest.partition(end)[2]
    args.markdown.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


if __name__ == "__main__":
    main()
