import os
import sys

import oxipickle
from pyspark import SparkConf, SparkContext


def task(_):
    return oxipickle.installed()


if __name__ == "__main__":
    oxipickle.install()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    conf = SparkConf().setMaster("local[1]").set("spark.executorEnv.OXIPICKLE_ENABLE", "1")
    with SparkContext(conf=conf) as context:
        print(all(context.parallelize(range(4), 2).map(task).collect()))
