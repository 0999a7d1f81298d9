"""Every response gets a status in time, in a thread and in a Ray actor too; the pool survives."""

import threading
import time
from pathlib import Path

import psutil
import pytest
from support.hostile_responses import RESPONSES

from lens_impl.grading.grader import DEFAULT_POOL, grade, grade_many

pytestmark = pytest.mark.slow
STATUSES = {"correct", "wrong", "no_answer", "timeout", "bad_gold", "error"}
TIMEOUT_S = 1.0
GOLD = r"\frac{7}{3}"


class Watch(threading.Thread):
    """Peak resident memory of this process's grading workers, together, in bytes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.over = 0, threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            total = 0
            for child in psutil.Process().children():
                try:
                    total += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)


def in_thread(call):
    results = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results[0]


def check(grades: list) -> None:
    assert len(grades) == len(RESPONSES)
    assert {verdict.status for verdict in grades} <= STATUSES
    assert not any(verdict.correct for verdict in grades)


def test_there_are_two_hundred_kinds():
    assert len(set(RESPONSES)) >= 200


def test_each_alone_gets_its_status():
    """The worker's limit is CPU time, so the clock is printed and not asserted on."""
    grade(GOLD, r"\boxed{8/3}")  # starts a worker outside of the measured time
    slowest = 0.0
    for response in RESPONSES:
        own, started = time.process_time(), time.monotonic()
        verdict = grade(GOLD, response, timeout_s=TIMEOUT_S)
        slowest = max(slowest, time.monotonic() - started)
        assert verdict.status in STATUSES and not verdict.correct
        assert time.process_time() - own < 2, response[:60]
    print(f"slowest: {slowest:.1f} s with a limit of {TIMEOUT_S} s")
    assert not Path("/tmp/hostile").exists()
    assert grade(GOLD, r"\boxed{\frac{14}{6}}").status == "correct"


def test_all_at_once_in_order_and_within_memory():
    mixed, expected = [], []
    for n, response in enumerate(RESPONSES):
        mixed += [response, rf"\boxed{{\frac{{{n}}}{{3}}}}"]
        expected.append("correct" if n == 7 else "wrong")
    watch = Watch()
    watch.start()
    grades = in_thread(lambda: grade_many([GOLD] * len(mixed), mixed, 2, TIMEOUT_S))
    watch.over.set()
    check(grades[::2])
    assert [verdict.status for verdict in grades[1::2]] == expected
    assert watch.peak < 2 * 2**30
    assert len(DEFAULT_POOL.idle) <= DEFAULT_POOL.size


def test_inside_a_ray_actor():
    import ray

    ray.init(num_cpus=1, include_dashboard=False, logging_level="error")
    try:

        @ray.remote
        class Grader:
            def run(self, responses):
                return [
                    verdict.status
                    for verdict in grade_many([GOLD] * len(responses), responses, 2, TIMEOUT_S)
                ]

        statuses = ray.get(Grader.remote().run.remote(RESPONSES[::3] + [r"\boxed{7/3}"]))
    finally:
        ray.shutdown()
    assert set(statuses) <= STATUSES
    assert statuses[-1] == "correct" and statuses.count("correct") == 1
