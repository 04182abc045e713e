"""Ray on this machine; what the workers are to have goes by `runtime_env`."""

import os
import pathlib

import ray
from common import for_workers, job, report, state


def main() -> None:
    here = str(pathlib.Path(__file__).parent)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {"PYTHONPATH": path, **for_workers()}
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        runtime_env={"env_vars": variables},
        object_store_memory=100 * 1024 * 1024,
        log_to_driver=False,
    )
    worker = ray.get(ray.remote(state).remote())
    remote = ray.remote(job)
    results = ray.get([remote.remote(number) for number in range(8)])
    scale = 2
    assert ray.get(ray.remote(lambda number: scale * number).remote(21)) == 42
    ray.shutdown()
    report(worker, results)


if __name__ == "__main__":
    main()
