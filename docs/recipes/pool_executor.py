import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import oxipickle


def task():
    return oxipickle.installed()


if __name__ == "__main__":
    oxipickle.install()
    for method in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context, initializer=oxipickle.install) as executor:
            print(executor.submit(task).result())
