"""PySpark on this machine; what the workers are to have goes by `spark.executorEnv`."""

import os
import pathlib
import sys

from common import for_workers, job, report, state
from pyspark import SparkConf, SparkContext


def main() -> None:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    conf = SparkConf().setMaster("local[1]").set("spark.ui.enabled", "false")
    conf.set("spark.driver.host", "127.0.0.1").set("spark.driver.bindAddress", "127.0.0.1")
    for name, value in for_workers().items():
        conf.set(f"spark.executorEnv.{name}", value)
    context = SparkContext(conf=conf)
    context.setLogLevel("OFF")
    context.addPyFile(str(pathlib.Path(__file__).parent / "common.py"))
    worker = context.parallelize([0], 1).map(state).collect()[0]
    results = context.parallelize(range(8), 2).map(job).collect()
    scale = 2
    assert context.parallelize([21], 1).map(lambda number: scale * number).collect() == [42]
    context.stop()
    report(worker, results)


if __name__ == "__main__":
    main()
