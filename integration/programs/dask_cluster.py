"""Dask: a LocalCluster of one process; what the worker is to have is set before it is spawned."""

import os

import dask
from common import for_workers, job, report, state
from distributed import Client, LocalCluster


def main() -> None:
    for name in for_workers():  # one of this process would win over the configured one
        os.environ.pop(name, None)
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": for_workers()}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        worker = client.submit(state, pure=False).result()
        results = client.gather(client.map(job, range(8)))
        scale = 2
        assert client.submit(lambda number: scale * number, 21).result() == 42
    report(worker, results)


if __name__ == "__main__":
    main()
