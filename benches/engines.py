"""What users of engines feel: whole programs, with C and with oxipickle, in turns.

    python benches/engines.py [--rounds 5] [--only NAME...] [--write]

Each workload is a program of its own that says how many operations a second it did. It is started
by itself and by `python -m oxipickle run`, so that workers have what the program has. CPU time is
that of the whole program with its workers, from start to end; where other programs run beside it,
it says more than the rate. Workloads whose library is missing are named and left out. `--write`
puts all figures into benches/results/engines-cpython-VERSION.json, in the place of those of the
same workloads. What a start costs is benches/start.py's.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def message(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "user": {"name": "user name", "tags": ["a", "b", "c"], "active": True},
        "values": [number * 0.5 for _ in range(20)],
        "text": "some text of a message " * 3,
    }


@contextmanager
def timed(count: int) -> Iterator[None]:
    """Prints the rate of `count` operations."""
    begin = time.perf_counter()
    yield
    print("RATE", count / (time.perf_counter() - begin))


def echo(incoming: Any, outgoing: Any) -> None:
    while (value := incoming.get()) is not None:
        outgoing.put(value)


def queue() -> None:
    """Messages through a `multiprocessing.Queue` to a process and back."""
    context = multiprocessing.get_context("spawn")
    there, back = context.Queue(), context.Queue()
    process = context.Process(target=echo, args=(there, back))
    process.start()
    there.put(message(0))
    back.get()
    messages = [message(number) for number in range(40_000)]
    with timed(len(messages)):
        for one in messages:
            there.put(one)
        for _ in messages:
            back.get()
    there.put(None)
    process.join()


def task(value: Any) -> Any:
    return value


def through_executor(values: list[Any]) -> None:
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(task, values[0]).result()
        with timed(len(values)):
            for _ in pool.map(task, values):
                pass


def executor() -> None:
    """Tasks of a `ProcessPoolExecutor` that take a message and give it back."""
    through_executor([message(number) for number in range(20_000)])


def batches() -> None:
    """Tasks of a `ProcessPoolExecutor` that take a thousand messages and give them back."""
    through_executor([[message(number) for number in range(1000)] for _ in range(300)])


def joblib() -> None:
    """Small tasks of `joblib.Parallel`, one at a time."""
    import joblib as library

    messages = [message(number) for number in range(10_000)]
    with library.Parallel(n_jobs=2, batch_size=1) as parallel:
        parallel([library.delayed(task)(messages[0])] * 2)
        with timed(len(messages)):
            parallel(library.delayed(task)(one) for one in messages)


def dask() -> None:
    """Tasks of a Dask LocalCluster of one process."""
    from distributed import Client, LocalCluster

    messages = [message(number) for number in range(3000)]
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.submit(task, messages[0]).result()
        with timed(len(messages)):
            client.gather(client.map(task, messages, pure=False))


def cloudpickle() -> None:
    """Closures dumped and loaded by cloudpickle."""
    import cloudpickle as library

    def closure(number: int) -> Callable[[int], int]:
        table = {"number": number}
        return lambda value: value + table["number"]

    closures = [closure(number) for number in range(40_000)]
    with timed(len(closures)):
        for one in closures:
            library.loads(library.dumps(one))


WORKLOADS = {one.__name__: one for one in (queue, executor, batches, joblib, dask, cloudpickle)}
NEEDS = {"joblib": "joblib", "dask": "distributed", "cloudpickle": "cloudpickle"}


def measured(name: str, ours: bool) -> dict[str, float]:
    """Operations a second, and seconds of CPU time, of one program and its workers."""
    run = ["-m", "oxipickle", "run"] if ours else []
    before = os.times()
    done = subprocess.run(
        [sys.executable, *run, str(Path(__file__).resolve()), "run", name],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OXIPICKLE_DISABLE": "0" if ours else "1"},
    )
    after = os.times()
    [line] = [line for line in done.stdout.splitlines() if line.startswith("RATE ")]
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    return {"rate": float(line.split()[1]), "cpu": round(used, 2)}


def main() -> int:
    if sys.argv[1:2] == ["run"]:
        WORKLOADS[sys.argv[2]]()
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("quartiles need two rounds at least")

    lines = [  # medians and quartiles
        "| whole program | C, a second | oxipickle, a second | ratio | ratio of CPU time |",
        "| :-- | --: | --: | --: | --: |",
    ]
    rows = {}
    for name in options.only:
        if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
            print(f"{name}: left out, {NEEDS[name]} is not installed", file=sys.stderr)
            continue
        runs: dict[str, list[dict[str, float]]] = {"C": [], "oxipickle": []}
        for turn in range(options.rounds):
            for side in runs if turn % 2 else reversed(runs):
                runs[side].append(measured(name, side == "oxipickle"))
        rows[name] = runs

        def median(side: str, key: str, runs: Any = runs) -> float:
            return statistics.median(run[key] for run in runs[side])

        def rates(side: str, runs: Any = runs) -> str:
            low, middle, high = statistics.quantiles((run["rate"] for run in runs[side]), n=4)
            return f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"

        gain = median("oxipickle", "rate") / median("C", "rate")
        saved = median("C", "cpu") / median("oxipickle", "cpu")
        what = str(WORKLOADS[name].__doc__).rstrip(".")
        cells = (what, rates("C"), rates("oxipickle"), f"{gain:.2f}", f"{saved:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    if options.write:
        version = platform.python_version()
        path = HERE / "results" / f"engines-cpython-{version}.json"
        before = json.loads(path.read_text())["runs"] if path.exists() else {}
        document = {"python": version, "runs": {**before, **rows}}
        path.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
