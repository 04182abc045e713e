import dask
import oxipickle
from distributed import Client, LocalCluster


def task():
    return oxipickle.installed()


if __name__ == "__main__":
    oxipickle.install()
    # On a command line: dask worker --preload "import oxipickle; oxipickle.install()" ...
    with (
        dask.config.set({"distributed.worker.preload": ["import oxipickle; oxipickle.install()"]}),
        LocalCluster(n_workers=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        print(client.submit(task).result())
