"""Dask by its command line: a scheduler, and a worker with the options that are given here."""

import contextlib
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from common import state
from distributed import Client


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-m", "dask", *arguments]) as process:
        try:
            yield
        finally:
            process.terminate()


def main() -> None:
    here = str(pathlib.Path(__file__).parent)
    with tempfile.TemporaryDirectory() as folder:
        shared = ("--scheduler-file", str(pathlib.Path(folder, "scheduler.json")))
        worker = ("--nthreads=1", "--no-dashboard", "--local-directory", folder)
        with (
            started("scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard", *shared),
            started("worker", *sys.argv[1:], *worker, *shared),
            Client(scheduler_file=shared[1], timeout=120) as client,
        ):
            client.run_on_scheduler(lambda: sys.path.append(here))
            client.wait_for_workers(1, timeout=120)
            client.run(lambda: sys.path.append(here))
            print(client.submit(state).result()["installed"])


if __name__ == "__main__":
    main()
