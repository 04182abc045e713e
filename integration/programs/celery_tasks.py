"""Celery: a worker in a process of its own, a broker in a folder, pickle as the serializer."""

import os
import pathlib
import subprocess
import sys
import tempfile

from celery import Celery
from common import for_workers, job, report, state

folder = os.environ.setdefault("CELERY_FOLDER", tempfile.mkdtemp())
app = Celery(
    "celery_tasks",
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
    worker_hijack_root_logger=False,
)
run_job = app.task(name="job")(job)
run_state = app.task(name="state")(state)


def main() -> None:
    command = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker"]
    command += ["--pool=prefork", "--concurrency=1", "--without-gossip", "--without-mingle"]
    worker = subprocess.Popen(
        [*command, "--loglevel=ERROR"],
        cwd=pathlib.Path(__file__).parent,
        env={**os.environ, **for_workers(), "C_FORCE_ROOT": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        said = run_state.delay().get(timeout=60)
        pending = [run_job.delay(number) for number in range(8)]
        results = [one.get(timeout=60) for one in pending]
    finally:
        worker.terminate()
        worker.wait()
    report(said, results)


if __name__ == "__main__":
    main()
