"""The watched application: a Celery app, and `app.py send TASK COUNT QUEUE [ARG]`."""

import os
import sys
import time

from celery import Celery

app = Celery("app", broker=os.environ["BROKER_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    task_send_sent_event=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
)


@app.task(name="succeed")
def succeed():
    return "done"


@app.task(name="fail")
def fail():
    raise ValueError("made to fail")


@app.task(name="sleep")
def sleep(seconds):
    time.sleep(float(seconds))


if __name__ == "__main__":
    _, _, name, count, queue, *args = sys.argv
    for _ in range(int(count)):
        app.send_task(name, args=args, queue=queue)
