"""Runs a fuzzer: child processes that try inputs, a parent that starts them and names what fails.

    python tests/fuzz/drive.py loading dumping --minutes 10 --seed 1
    python tests/fuzz/drive.py dumping --executions 100000 --corpus FOLDER --artifacts FOLDER
    python tests/fuzz/drive.py loading --replay FILE

A fuzzer is a module of this folder with a class `Target` (see there). The inputs of a child follow
from its seed and its corpus. An input that reaches new code (see `coverage.py`) joins the corpus. One
whose outcome differs from C's is tried again after what it may have changed was put back, with C
first and with us first; if it still differs it is made smaller and written to the artifacts, as is one
that kills the child while it is our turn. Where C crashes or hangs, the input is tried with us alone.

Exit code 1 if anything was found, 2 if a fuzzer itself failed. The last lines on standard output
are JSON objects with the figures, one for each fuzzer.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import hashlib
import importlib
import json
import mmap
import os
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import coverage  # noqa: E402  (before the extension)

STATE_SIZE = 1 << 16
#: Whose turn it is, as written into the state; what kills a child while it is C's is not ours.
IDLE, OURS, THEIRS = 0, 1, 2
#: A child does so many and makes place for a fresh one: inputs leave things behind.
PER_CHILD = 150_000
#: Numbers from here on are those of tries to make an input smaller.
SMALLER = 1 << 40
#: Seconds of the processor after which an input hangs.
PATIENCE = 20
#: Seconds of an input that is no ground for others: a few slow ones would take most of the time.
SLOW = 0.003
#: Findings after which a run ends.
ENOUGH = 8
#: What a child may take, in bytes, over what it has once its fuzzer is loaded.
MEMORY = 384 << 20


class State:
    """What parent and child share: number of the input, whose turn it is, and the input itself."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), STATE_SIZE)

    def input(self, number: int, data: bytes) -> None:
        self._map[: 16 + len(data)] = struct.pack("<QII", number, IDLE, len(data)) + data

    def turn(self, turn: int) -> None:
        self._map[8] = turn

    def read(self) -> tuple[int, int, bytes]:
        number, turn, size = struct.unpack_from("<QII", self._map)
        return number, turn & 0xFF, self._map[16 : 16 + size]

    def close(self) -> None:
        self._map.close()
        self._file.close()


# --- the child --------------------------------------------------------------------------------


class Printed:
    """Stands for `sys.stderr`: what is printed while it is our turn is an error nobody could catch."""

    def __init__(self) -> None:
        self.turn = IDLE
        self.ours = ""

    def write(self, text: str) -> None:
        if self.turn == OURS:
            self.ours += text

    def flush(self) -> None:
        pass


class Turns:
    """Says whose turn it is, to the parent and to `Printed`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.printed = Printed()

    def __call__(self, turn: int) -> None:
        self._state.turn(turn)
        self.printed.turn = turn

    def taken(self) -> str:
        """What was printed in our turns since this was last asked."""
        text, self.printed.ours = self.printed.ours, ""
        return text


def limit_memory() -> None:
    """No more memory than now and `MEMORY`: what a stream makes us reserve shows as a failure."""
    if sys.platform != "linux" or "LD_PRELOAD" in os.environ:
        return  # elsewhere the limit is not kept, and AddressSanitizer reserves terabytes
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def attempted(target: Any, turns: Turns, data: bytes, **options: bool) -> str | None:
    """What is found when *data* is run once; *options* are those of `Target.run`."""
    turns.taken()
    errors, sys.stderr = sys.stderr, turns.printed  # type: ignore[assignment]
    try:
        found: str | None = target.run(data, turns, **options)
    finally:
        turns(IDLE)
        sys.stderr = errors
    printed = turns.taken()
    return found or (f"printed: {printed}" if printed else None)


def smaller(target: Any, state: State, turns: Turns, data: bytes, seconds: float = 20) -> bytes:
    """The smallest input found, by leaving parts out, that still differs."""
    until = time.monotonic() + seconds
    head, parts = target.parts(data)
    size = max(1, len(parts) // 2)
    number = SMALLER
    while parts and time.monotonic() < until:
        at, shrunk = 0, False
        while at < len(parts) and time.monotonic() < until:
            fewer = parts[:at] + parts[at + size :]
            made = target.whole(head, fewer)
            number += 1
            state.input(number, made)
            if confirmed(target, made, turns):
                parts, shrunk = fewer, True
            else:
                at += size
        if size == 1 and not shrunk:
            break
        size = max(1, size // 2)
    return bytes(target.whole(head, parts))


def confirmed(target: Any, data: bytes, turns: Turns) -> str | None:
    """The difference, if there is one whoever goes first and nothing is left of other inputs."""
    found = None
    for c_first in (True, False):
        target.restore()
        found = attempted(target, turns, data, c_first=c_first, careful=True)
        if not found:
            break
    target.restore()
    return found


def try_one(target: Any, state: State, turns: Turns, number: int, data: bytes) -> str | None:
    state.input(number, data)
    try:
        found = attempted(target, turns, data)
        if found:
            coverage.novelty()
            found = confirmed(target, data, turns)
        return found
    except MemoryError:
        return None  # the harness itself had no memory: what was loaded fills it


def report(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def corpus_of(folder: Path | None) -> list[bytes]:
    if folder is None:
        return []
    found = []
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return found


def child(options: argparse.Namespace) -> None:
    target = importlib.import_module(options.fuzzers[0]).Target()
    state = State(Path(options.state))
    turns = Turns(state)
    rng = random.Random(options.seed)
    pool: list[bytes] = []
    limit_memory()
    gc.collect()
    gc.freeze()
    coverage.novelty()
    number = 0
    known = [*target.seeds(), *corpus_of(options.corpus)]
    rng.shuffle(known)
    for data in known:
        number += 1
        start = time.perf_counter()
        if try_one(target, state, turns, number, data):
            report(finding=smaller(target, state, turns, data).hex())
        slow = time.perf_counter() - start > SLOW
        if not slow and (coverage.novelty() or not coverage.edges()):
            pool.append(data)
    if not pool:
        pool = known
    while number < options.executions and time.monotonic() < options.until:
        number += 1
        # Half of the time one of the newest.
        data = pool[-1 - int(len(pool) * rng.random() ** (3 if number % 2 else 1))]
        data = target.mutate(data, rng.choice(pool), rng)[: STATE_SIZE - 16]
        start = time.perf_counter()
        found = try_one(target, state, turns, number, data)
        if found:
            least = smaller(target, state, turns, data)
            report(finding=least.hex())
        elif coverage.novelty() and time.perf_counter() - start < SLOW:
            leak = target.leak(data, turns)
            turns(IDLE)
            if leak:
                report(finding=data.hex(), leak=leak)
            pool.append(data)
            if options.corpus:
                name = hashlib.sha256(data).hexdigest()[:16]
                with contextlib.suppress(OSError):
                    (options.corpus / name).write_bytes(data)
    report(
        done=number, pool=len(pool), edges=coverage.edges(), covered=coverage.covered(),
        notes=dict(target.notes),
    )  # fmt: skip


def one(options: argparse.Namespace) -> None:
    """One input in a fresh process. Prints what differs, or nothing."""
    target = importlib.import_module(options.fuzzers[0]).Target()
    data = Path(options.replay).read_bytes()
    state = State(Path(options.state))
    state.input(1, data)
    limit_memory()
    gc.collect()
    gc.freeze()
    turns = Turns(state)
    if options.ours_alone:
        turns(OURS)
        target.ours_alone(data)
        return
    found = confirmed(target, data, turns) or target.leak(data, turns)
    if found:
        report(difference=found, input=target.describe(data))


# --- the parent -------------------------------------------------------------------------------


def used_by(process: int) -> float:
    """Seconds of the processor that a process has used; elsewhere than on Linux seconds by a clock."""
    if sys.platform != "linux":
        return time.monotonic() / 10
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0  # it has just ended
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Run:
    """One fuzzer over its time, child after child."""

    def __init__(self, fuzzer: str, options: argparse.Namespace, folder: Path) -> None:
        self.fuzzer = fuzzer
        self.options = options
        self.corpus = options.corpus / fuzzer if options.corpus else None
        if self.corpus:
            self.corpus.mkdir(parents=True, exist_ok=True)
        self.state_path = folder / f"{fuzzer}.state"
        self.state_path.write_bytes(bytes(STATE_SIZE))
        self.state = State(self.state_path)
        self.log = folder / f"{fuzzer}.log"
        self.executions = 0
        self.crashes_of_c = 0
        self.failures = 0
        self.findings: dict[str, str] = {}
        self.last: dict[str, Any] = {}
        self.notes: dict[str, int] = {}

    def command(self, *more: str) -> list[str]:
        line = [sys.executable, str(HERE / "drive.py"), self.fuzzer]
        return [*line, "--state", str(self.state_path), *more]

    def start(self, *more: str) -> tuple[int | None, list[dict[str, Any]], str]:
        """Run a child to its end: exit code (None if it hung), what it reported, and its errors."""
        env = dict(os.environ, PYTHONHASHSEED="0", PYTHONFAULTHANDLER="1")
        # Endless chains of reducers are common here, and should not take long.
        env.setdefault("OXIPICKLE_MAX_DEPTH", "1000")
        errors = self.log.with_suffix(".errors")
        self.state.input(0, b"")
        with self.log.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(self.command(*more), stdout=out, stderr=err, env=env)
            at, since = None, used_by(process.pid)
            code: int | None
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(1)
                    break
                now = self.state.read()[:2]
                if now != at:
                    at, since = now, used_by(process.pid)
                elif used_by(process.pid) - since > PATIENCE:
                    process.kill()
                    process.wait()
                    code = None
                    break
        lines = [
            json.loads(line) for line in self.log.read_bytes().splitlines() if line[:1] == b"{"
        ]
        return code, lines, errors.read_text(errors="replace")[-4000:]

    def found(self, data: bytes, what: str) -> None:
        name = f"{self.fuzzer}-{hashlib.sha256(data).hexdigest()[:12]}"
        if name in self.findings:
            return
        self.findings[name] = what
        self.options.artifacts.mkdir(parents=True, exist_ok=True)
        path = self.options.artifacts / name
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(what + "\n")
        print(f"\nFOUND, replay with --replay {path}\n{what}\n", flush=True)

    def once(self, data: bytes, *more: str) -> tuple[int | None, list[dict[str, Any]], str]:
        path = self.log.with_suffix(".input")
        path.write_bytes(data)
        return self.start("--replay", str(path), *more)

    def check(self, data: bytes) -> None:
        """Try in a fresh process what one that has seen much calls a finding."""
        code, lines, errors = self.once(data)
        if lines:
            self.found(data, json.dumps(lines[0], indent=1))
        elif code:
            self.ended(code, errors)
        else:
            self.notes["not confirmed"] = self.notes.get("not confirmed", 0) + 1

    def ended(self, code: int | None, errors: str) -> None:
        """A child was killed, or hung, at the input in the state."""
        number, turn, data = self.state.read()
        what = "hangs" if code is None else f"ends with {code}"
        if turn == OURS:
            self.found(data, f"input {number}: {what}\n{errors}")
        elif turn == THEIRS:
            self.crashes_of_c += 1
            code, _, errors = self.once(data, "--ours-alone")
            if code and "MemoryError" not in errors:
                self.found(data, f"alone, after C {what}: ends with {code}\n{errors}")
        else:
            self.failures += 1
            print(f"the fuzzer {what} at input {number}: {data.hex()}\n{errors}", file=sys.stderr)

    def go(self) -> None:
        options = self.options
        until = time.monotonic() + options.minutes * 60
        seed = options.seed
        while time.monotonic() < until and len(self.findings) < ENOUGH and self.failures < 5:
            left = min(PER_CHILD, options.executions - self.executions)
            if left <= 0:
                break
            more = ["--seed", str(seed), "--executions", str(left), "--until", str(until)]
            if self.corpus:
                more += ["--corpus", str(self.corpus)]
            code, lines, errors = self.start(*more)
            number = self.state.read()[0]
            done = [line for line in lines if "done" in line]
            self.executions += done[-1]["done"] if done else number % SMALLER
            if done:
                self.last = done[-1]
                for name, count in done[-1]["notes"].items():
                    self.notes[name] = self.notes.get(name, 0) + count
            if code != 0:
                self.ended(code, errors)
            for line in lines:
                if "finding" in line:
                    self.check(bytes.fromhex(line["finding"]))
            if options.verbose:
                print(json.dumps(self.figures()), flush=True)
            seed += 1

    def figures(self) -> dict[str, Any]:
        return {
            "fuzzer": self.fuzzer,
            "python": sys.version.split()[0],
            "seed": self.options.seed,
            "executions": self.executions,
            "found": len(self.findings),
            "crashes and hangs of C": self.crashes_of_c,
            "failures": self.failures,
            "corpus": self.last.get("pool", 0),
            "edges": self.last.get("edges", 0),
            "covered": self.last.get("covered", 0),
            "notes": self.notes,
        }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("fuzzers", nargs="+", choices=["loading", "dumping"], metavar="FUZZER")
    parser.add_argument("--minutes", type=float, default=1e6, help="until the run ends")
    parser.add_argument("--executions", type=int, default=1 << 62, help="until the run ends")
    parser.add_argument("--seed", type=int, default=None, help="by default the time")
    parser.add_argument("--corpus", type=Path, help="a folder that keeps what reached new code")
    parser.add_argument("--artifacts", type=Path, default=Path("fuzz/artifacts"))
    parser.add_argument("--replay", help="try this file alone")
    parser.add_argument("--verbose", action="store_true", help="figures after each child")
    for internal in ("--state", "--until"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    parser.add_argument("--ours-alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.seed is None:
        options.seed = int(time.time())
    if options.replay and len(options.fuzzers) != 1:
        parser.error("--replay needs one fuzzer")
    return options


def _go(run: Run) -> None:
    """Let a fuzzer run; what it raises itself is its failure."""
    try:
        if run.options.replay:
            run.check(Path(run.options.replay).read_bytes())
        else:
            run.go()
    except Exception:
        traceback.print_exc()
        run.failures += 1
    run.state.close()


def main() -> int:
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(600)
    options = arguments()
    if options.state:
        faulthandler.enable()
        if options.replay:
            one(options)
        else:
            options.until = float(options.until)
            child(options)
        return 0
    if sys.platform == "linux" and Path("/dev/shm").is_dir():
        tempfile.tempdir = "/dev/shm"  # the state is written for each input
    with tempfile.TemporaryDirectory(prefix="oxipickle-fuzz-") as folder:
        runs = [Run(fuzzer, options, Path(folder)) for fuzzer in options.fuzzers]
        threads = [threading.Thread(target=_go, args=(run,)) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for run in runs:
        print(json.dumps(run.figures()), flush=True)
    if any(run.findings for run in runs):
        return 1
    return 2 if any(run.failures for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
