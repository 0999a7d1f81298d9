"""When jobs ran and what bounded them: by hand, from records as Snakemake writes them, and from a
real Snakemake."""

import json
import subprocess
import sys
from base64 import urlsafe_b64encode

import pytest

from lens_impl.errors import UserError
from lens_impl.files import ROOT
from lens_impl.report import timeline
from lens_impl.report.jobs import (
    Job,
    lanes,
    longest_chain,
    read_jobs,
    seconds_at_once,
    without_idle_times,
)

# prepare (10 s), then two training runs at once, and one more that waited for a place; the table
# needs the first two alone.
JOBS = [
    Job("prepare", "prepare", 100, 110),
    Job("train/a", "train", 110, 140, ("prepare",)),
    Job("train/b", "train", 112, 152, ("prepare",)),
    Job("train/c", "train", 140, 175, ("prepare",)),
    Job("table", "table", 152, 155, ("train/a", "train/b")),
]


def test_longest_chain_by_hand():
    # 10 + 40 + 3 = 53 s; over train/c it would be 45, over train/a 43.
    assert [job.name for job in longest_chain(JOBS)] == ["prepare", "train/b", "table"]


def test_longest_chain_is_by_time_and_not_by_number_of_jobs():
    alone = Job("alone", "alone", 0, 60)
    assert longest_chain([alone, *JOBS]) == [alone]


def test_seconds_at_once_by_hand():
    # One job in 100-112 and 155-175, two in 112-155: 152-155 are train/c and the table.
    assert seconds_at_once(JOBS) == [0, 32, 43]


def test_a_time_without_jobs_counts_as_none():
    jobs = [Job("a", "a", 0, 10), Job("b", "b", 14, 20)]
    assert seconds_at_once(jobs) == [4, 16]


def test_time_between_two_calls_is_cut_out_and_waiting_is_not():
    jobs = [Job("a", "a", 50, 60), Job("b", "b", 65, 70), Job("c", "c", 5070, 5075, ("b",))]
    moved, idle = without_idle_times(jobs)
    assert [(job.start, job.end) for job in moved] == [(0, 10), (15, 20), (20, 25)]
    assert idle == 5000
    assert moved[2].needs == ("b",)


def test_a_long_job_bridges_the_short_ones_meanwhile():
    jobs = [Job("long", "a", 0, 500), Job("short", "b", 1, 2), Job("last", "b", 400, 510)]
    assert without_idle_times(jobs) == (jobs, 0)


def test_jobs_at_once_get_lanes_of_their_own():
    trained = [job for job in JOBS if job.rule == "train"]
    # train/c starts when train/a ends and takes its place.
    assert lanes(trained) == [0, 1, 0]


def test_report_by_hand():
    text = timeline.report(JOBS, "tiny")
    # 118 s of jobs by 2; the chain takes 53.
    assert "5 jobs in 1:15, at most 2 at once, 57% of the time as many" in text
    assert "divided by 2: 0:59" in text and "takes 0:53" in text
    assert "bounds the time is the 2 jobs at once" in " ".join(text.split())
    (line,) = [line for line in text.splitlines() if line.startswith("| train/b")]
    assert [cell.strip() for cell in line.split("|")[2:5]] == ["0:12", "2", "40"]
    (line,) = [line for line in text.splitlines() if line.startswith("| train ")]
    assert [cell.strip() for cell in line.split("|")[2:6]] == ["3", "105", "89.0%", "40"]


def test_one_job_after_another_is_bound_by_the_chain():
    jobs = [Job("a", "a", 0, 10), Job("b", "b", 10, 20, ("a",)), Job("c", "c", 15, 16, ("a",))]
    assert "bounds the time is the longest chain" in " ".join(timeline.report(jobs, "tiny").split())


def record(root, output, **fields):
    """Snakemake's file for one output; parts of 254 characters where its name is longer."""
    key = urlsafe_b64encode(output.encode()).decode()
    parts = [key[i : i + 254] for i in range(0, len(key), 254)]
    file = root.joinpath(".snakemake/metadata", *(f"@{part}" for part in parts[:-1]), parts[-1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"input": [], "incomplete": False, **fields}))


@pytest.fixture
def project(tmp_path):
    log = {"log": ["results/tiny/logs/make.log"], "rule": "make"}
    record(tmp_path, "results/tiny/early", starttime=10.5, endtime=11.0, **log)
    record(tmp_path, "results/tiny/late", starttime=10.0, endtime=19.0, **log)
    record(tmp_path, "results/other/late", starttime=1.0, endtime=2.0, **log)
    record(tmp_path, "results/tiny/begun", starttime=None, endtime=None, **log)
    record(tmp_path, "results/tiny/runs/other/f", starttime=1.0, endtime=9.0, **log)
    long = "results/tiny/runs/a/" + "x" * 400
    log = {"log": ["results/tiny/logs/train/a.log"], "rule": "train"}
    needs = {"input": ["results/tiny/late", "config/paper.yaml"]}
    record(tmp_path, long, starttime=20.0, endtime=30.0, **log, **needs)
    benchmark = tmp_path / "results" / "tiny" / "benchmarks" / "train" / "a.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\tmax_rss\n8.50\t0:00:08\t123.40\n")
    return tmp_path


def test_records_of_outputs_become_jobs(project):
    make, train = read_jobs(project, "tiny", ["a"])
    assert make == Job("make", "make", 10.0, 19.0)
    assert train == Job("train/a", "train", 20.0, 30.0, ("make",), 8.5, 123.4)


def test_memory_of_a_job_that_was_too_short_to_look_at(project):
    benchmark = project / "results" / "tiny" / "benchmarks" / "train" / "a.tsv"
    benchmark.write_text("s\th:m:s\tmax_rss\n0.01\t0:00:00\tNA\n")
    job = read_jobs(project, "tiny", ["a"])[1]
    assert (job.measured, job.memory) == (0.01, None)


@pytest.mark.parametrize("scale", ["tiny", "paper"])
def test_nothing_recorded_is_reported(tmp_path, project, scale):
    root = project / "empty" if scale == "tiny" else project
    with pytest.raises(UserError, match=f"no record.*make reproduce SCALE={scale}"):
        read_jobs(root, scale, [])


def test_chart(project):
    text = timeline.write_timeline(project, "tiny", ["a"], project / "out")
    assert (project / "out" / "timeline.png").read_bytes().startswith(b"\x89PNG")
    assert (project / "out" / "timeline.pdf").read_bytes().startswith(b"%PDF")
    assert "2 jobs in 0:20" in text
    figure = timeline.gantt(read_jobs(project, "tiny", ["a"]), "tiny")
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["make", "train"]


@pytest.mark.slow
def test_records_of_a_real_snakemake(tmp_path):
    snakefile = ROOT / "tests" / "support" / "two_jobs.smk"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile)]
    command += ["--cores", "1", "--quiet", "all"]
    subprocess.run(command, cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)
    first, second = read_jobs(tmp_path, "tiny", [])
    assert (first.name, first.needs) == ("first", ())
    assert (second.name, second.needs) == ("second/b", ("first",))
    assert first.start < first.end <= second.start < second.end
    assert first.seconds >= 1 and second.seconds >= 1.9
    assert second.measured >= 1.9
