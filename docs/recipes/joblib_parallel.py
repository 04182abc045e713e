import joblib
import oxipickle


def task():
    return oxipickle.installed()


if __name__ == "__main__":
    oxipickle.install()
    with joblib.Parallel(n_jobs=2, initializer=oxipickle.install) as parallel:
        print(all(parallel(joblib.delayed(task)() for _ in range(10))))
