import oxipickle
import ray


@ray.remote
def task():
    import oxipickle

    return oxipickle.installed()


if __name__ == "__main__":
    oxipickle.install()
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        runtime_env={"env_vars": {"OXIPICKLE_ENABLE": "1"}},
    )
    print(ray.get(task.remote()))
