"""The pool of workers: memory, dying and growing workers, forks; with real processes."""

import signal
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe, get_context
from pathlib import Path

import psutil
import pytest

from lens_impl.errors import UserError
from lens_impl.files import ROOT
from lens_impl.grading.grader import PROGRESS_FROM, Grade, grade, grade_many
from lens_impl.grading.pool import REMEMBERED_LENGTH, WORKER_SCRIPT, Pool
from lens_impl.grading.worker import MEMORY_LIMIT_BYTES

SUPPORT = ROOT / "tests" / "support"
GOLD = "1/7"  # not plain: goes to a worker


@pytest.fixture
def pool():
    """Two workers that do as the text says; see support/scripted_worker.py."""
    with Pool(size=2, script=SUPPORT / "scripted_worker.py", wall_extra_s=0) as scripted:
        yield scripted


def test_equal_pairs_are_judged_once(pool):
    responses = [rf"attempt {i}: \boxed{{1/8}}" for i in range(50)]
    assert {result.status for result in grade_many([GOLD] * 50, responses, pool=pool)} == {"wrong"}
    assert grade(GOLD, "count", pool=pool).extracted == "2"


def test_a_verdict_is_remembered(pool):
    grade(GOLD, r"\boxed{1/8}", pool=pool)
    assert grade(GOLD, r"other words, same box: \boxed{1/8}", pool=pool).status == "wrong"
    assert grade(GOLD, "count", pool=pool).extracted == "2"
    assert pool.remembered(GOLD, r"\boxed{1/8}") == ("wrong", None)


def test_the_pair_of_another_gold_answer_or_without_a_box_is_not_the_same(pool):
    grade(GOLD, r"\boxed{1/8}", pool=pool)
    grade("1/9", r"\boxed{1/8}", pool=pool)
    grade(GOLD, "1/8", pool=pool)
    assert grade(GOLD, "count", pool=pool).extracted == "4"


def test_long_texts_are_not_remembered(pool):
    long = "1 " * REMEMBERED_LENGTH
    grade(GOLD, long, pool=pool)
    assert pool.remembered(GOLD, long) is None


def test_a_timeout_is_not_remembered(pool, tmp_path):
    response = f"once {tmp_path / 'asked'}"
    assert grade(GOLD, response, pool=pool).status == "timeout"
    assert grade(GOLD, response, pool=pool).status == "wrong"


def test_a_worker_killed_while_idle_is_replaced(pool):
    first = grade(GOLD, "pid 1", pool=pool).extracted
    (worker,) = pool.idle
    worker.process.kill()
    worker.process.wait()
    assert grade(GOLD, "pid 2", pool=pool).extracted not in (first, None)


def test_a_worker_that_dies_at_work_is_an_error_and_not_a_wrong_answer(pool):
    assert grade(GOLD, "die", pool=pool) == Grade(False, "error", None)
    assert pool.idle == [] and pool.remembered(GOLD, "die") is None


def test_a_stopped_worker_is_ended_by_the_clock(pool):
    assert grade(GOLD, "stop", timeout_s=0.1, pool=pool).status == "timeout"
    assert pool.idle == []


def test_a_worker_that_has_grown_is_replaced(pool):
    grade(GOLD, "pid", pool=pool)
    (worker,) = pool.idle
    assert grade(GOLD, "grow", pool=pool).status == "wrong"
    assert pool.idle == [] and worker.process.returncode == 0
    assert grade(GOLD, "count", pool=pool).extracted == "1"


def test_the_real_worker_asks_to_be_replaced_when_it_has_grown():
    with Pool(size=1, script=SUPPORT / "short_lived_worker.py") as pool:
        assert grade("2/3", r"\boxed{5/7}", pool=pool).status == "wrong"
        assert len(pool.idle) == 1
        assert grade("2/3", r"\boxed{6/7}", pool=pool).status == "wrong"
        assert pool.idle == []
        assert grade("2/3", r"\boxed{4/6}", pool=pool).status == "correct"


def test_a_large_parent_does_not_make_its_workers_old():
    """Linux passes a parent's peak memory on to its children."""
    ballast = bytearray(600 * 2**20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    with Pool(size=1) as pool:
        assert grade("2/3", r"\boxed{8/7}", pool=pool).status == "wrong"
        assert len(pool.idle) == 1


def test_a_call_uses_no_more_workers_than_it_may(pool):
    responses = [f"pid {i}" for i in range(20)]
    for workers, most in ((1, 1), (8, 2), (None, 2)):
        pool.close()
        fresh = [f"{response} {workers}" for response in responses]
        grades = grade_many([GOLD] * 20, fresh, workers=workers, pool=pool)
        assert 1 <= len({verdict.extracted for verdict in grades}) <= most


def test_a_closed_pool_has_no_process_and_may_be_used_again(pool):
    grade(GOLD, "pid 1", pool=pool)
    (worker,) = pool.idle
    pool.close()
    assert pool.idle == [] and worker.process.returncode == 0
    assert grade(GOLD, "count", pool=pool).extracted == "1"


def test_a_forked_child_starts_workers_of_its_own(pool):
    parents = grade(GOLD, "pid 1", pool=pool).extracted
    here, there = Pipe()
    child = get_context("fork").Process(
        target=lambda: there.send(grade(GOLD, "pid 2", pool=pool).extracted)
    )
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert here.recv() not in (parents, None)
    assert grade(GOLD, "pid 3", pool=pool).extracted == parents


def stopped_children() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if child.status() == psutil.STATUS_STOPPED]


def test_a_fork_while_all_places_are_taken_can_grade(pool):
    busy = [
        threading.Thread(target=grade, args=(GOLD, f"stop {n}", 60.0, pool), daemon=True)
        for n in range(pool.size)
    ]
    for thread in busy:
        thread.start()
    while len(stopped_children()) < pool.size:
        time.sleep(0.01)
    here, there = Pipe()
    child = get_context("fork").Process(
        target=lambda: there.send(grade(GOLD, "count", pool=pool).extracted)
    )
    child.start()
    answered = here.poll(60)
    child.kill()
    for worker in stopped_children():
        worker.kill()
    for thread in busy:
        thread.join()
    assert answered and here.recv() == "1"


def test_the_timer_fires_where_the_parent_blocks_its_signal():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF})
    try:
        with Pool(size=1, wall_extra_s=600) as pool:
            assert grade("7", r"\boxed{9^{9^{9}}}", timeout_s=0.3, pool=pool).status == "timeout"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def under_limit(mib: int, script: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SUPPORT / "limited_grading.py"), str(mib), str(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("mib", [6000, 500])
def test_a_worker_starts_under_a_hard_limit_and_does_not_raise_it(mib):
    """Only a privileged process may raise it."""
    hard = mib * 2**20
    limits = (min(MEMORY_LIMIT_BYTES, hard), hard)
    assert under_limit(mib, WORKER_SCRIPT).stdout == f"correct\n{limits}\n"


def test_a_low_limit_of_address_space_is_named():
    done = under_limit(120, SUPPORT / "absent.py")
    assert done.returncode == 2
    assert "120 MiB of address space (ulimit -v)" in done.stderr


def test_long_batches_show_progress(pool, capsys):
    def texts(count: int) -> list[str]:
        return [f"answer {count} {number}" for number in range(count)]

    grade_many([GOLD] * PROGRESS_FROM, texts(PROGRESS_FROM), pool=pool)
    assert "grading: 100%" in capsys.readouterr().err
    grade_many([GOLD] * (PROGRESS_FROM - 1), texts(PROGRESS_FROM - 1), pool=pool)
    assert capsys.readouterr().err == ""


def test_a_worker_that_does_not_start_is_reported(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text("raise SystemExit(3)")
    with pytest.raises(UserError, match="ended with status 3 before it was ready"):
        grade(GOLD, r"\boxed{1/5}", pool=Pool(script=script))
