"""joblib with its default backend, loky."""

import os

import joblib
from common import for_workers, job, report, state


def main() -> None:
    os.environ.update(for_workers())
    with joblib.Parallel(n_jobs=2) as parallel:
        worker = parallel([joblib.delayed(state)()])[0]
        results = parallel(joblib.delayed(job)(number) for number in range(8))
        scale = 2  # a closure, which goes by cloudpickle
        assert parallel([joblib.delayed(lambda number: scale * number)(21)] * 4) == [42] * 4
    report(worker, results)


if __name__ == "__main__":
    main()
