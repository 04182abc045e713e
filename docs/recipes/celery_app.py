import os
import pathlib
import subprocess
import sys
import tempfile

import oxipickle

oxipickle.install()  # first, in the module that both the workers and the callers import

from celery import Celery  # noqa: E402

folder = os.environ.setdefault("CELERY_FOLDER", tempfile.mkdtemp())
app = Celery(
    "celery_app",
    broker="filesystem://",
    backend=f"file://{folder}",
    broker_transport_options={
        "data_folder_in": folder,
        "data_folder_out": folder,
        "control_folder": f"{folder}/control",
    },
    task_serializer="pickle",
    result_serializer="pickle",
    accept_content=["pickle"],
    result_accept_content=["pickle"],
)


@app.task(name="task")
def task():
    return oxipickle.installed()


if __name__ == "__main__":
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--concurrency=1"],
        cwd=pathlib.Path(__file__).parent,
        env={**os.environ, "C_FORCE_ROOT": "1"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    print(task.delay().get(timeout=60))
    worker.terminate()
    worker.wait()
