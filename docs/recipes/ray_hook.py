import oxipickle
import ray


def switch_on():
    import oxipickle

    oxipickle.install()


@ray.remote
def task():
    import oxipickle

    return oxipickle.installed()


if __name__ == "__main__":
    oxipickle.install()
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        runtime_env={"worker_process_setup_hook": switch_on},
    )
    print(ray.get(task.remote()))
