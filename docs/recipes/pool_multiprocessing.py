import multiprocessing

import oxipickle


def task(_):
    return oxipickle.installed()


if __name__ == "__main__":
    oxipickle.install()
    for method in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context(method).Pool(2, initializer=oxipickle.install) as pool:
            print(all(pool.map(task, range(10))))
