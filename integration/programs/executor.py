"""ProcessPoolExecutor and multiprocessing; the first argument is the start method."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from common import for_workers, job, report, state


def main() -> None:
    context = multiprocessing.get_context(sys.argv[1])
    os.environ.update(for_workers())
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        worker = executor.submit(state).result()
        results = list(executor.map(job, range(8)))
    with context.Pool(1) as pool:
        assert pool.apply(state)["installed"] == worker["installed"]
        assert pool.map(job, range(8)) == results
    queue, answers = context.Queue(), context.Queue()
    process = context.Process(target=echo, args=(queue, answers))
    process.start()
    queue.put(results)
    assert answers.get() == results
    process.join()
    report(worker, results)


def echo(queue, answers):
    answers.put(queue.get())


if __name__ == "__main__":
    main()
