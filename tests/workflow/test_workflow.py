"""The workflow as real Snakemake processes; the work itself is replaced by a `python` that only
makes the files it is asked for."""

import re
import shutil

import pytest
from support.project import Project, copy_project

pytestmark = pytest.mark.slow

PAPER = {"figure2_negative_ratio", "figure4_weight", "figure5_math_dapo", "figure6_math_numina"}
PAPER |= {"table1", "table2", "table3", "effects", "write_summary", "mirror_tracking", "all"}
PAPER |= {"pass_at_k_by_level", "gain_by_level", "reliability", "negative_mass", "rescued"}
FROM_ALL_RUNS = {"effects", "pass_at_k_by_level", "gain_by_level", "reliability", "negative_mass"}
FROM_ALL_RUNS |= {"rescued", "write_summary", "mirror_tracking", "execute_notebook", "all"}
DATA = {"make_tiny_problems": 1, "mix_prompts": 2, "prepare_evaluation": 1, "init_tracking": 1}
DATA |= {"make_tokenizer": 1, "pretrain_base_model": 1, "measure_regime": 1}


@pytest.fixture
def fresh(tmp_path):
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    project.edit("config/config.yaml", "scale: tiny", "scale: smoke")
    status, output = project.snakemake()
    assert status == 0, output
    return project


@pytest.fixture
def finished(finished_once, tmp_path):
    """A project of scale smoke in which everything has been made."""
    shutil.copytree(finished_once.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def test_jobs_of_tiny(fresh):
    expected = {rule: 1 for rule in PAPER} | DATA
    expected |= {"train": 8, "sample_completions": 9, "score_completions": 9}
    expected |= {"collect_rollouts": 8, "execute_notebook": 5}
    assert fresh.planned("--config", "scale=tiny") == expected


def test_jobs_of_smoke(fresh):
    expected = {rule: 1 for rule in PAPER} | DATA
    expected |= {"train": 4, "sample_completions": 10, "score_completions": 5}
    expected |= {"collect_rollouts": 4, "execute_notebook": 5}
    assert fresh.planned("--config", "scale=smoke") == expected


def test_jobs_of_the_comparison_of_all_methods(fresh):
    methods = "config/experiments/methods.yaml"
    jobs = fresh.planned("--configfile", methods, "--", "methods")
    assert jobs["train"] == jobs["score_completions"] == 12
    assert jobs["method_table"] == 1 and not jobs.keys() & (PAPER - {"all"})


def test_second_run_has_nothing_to_do(finished):
    status, output = finished.snakemake()
    assert status == 0
    assert "Nothing to be done" in output
    assert not list(finished.folder.glob("results/smoke/runs/*/shards/*"))


def test_a_comment_in_a_configuration_file_runs_nothing_again(finished):
    for name in ("config", "smoke", "methods"):
        file = finished.folder / "config" / f"{name}.yaml"
        file.write_text("# a comment\n" + file.read_text())
    assert finished.planned() == {}


def test_another_mlflow_address_runs_nothing_again(finished):
    assert finished.planned("--config", "mlflow={tracking_uri: http://127.0.0.1:5000}") == {}


def test_a_new_seed_trains_that_seed_only(finished):
    finished.edit("config/smoke.yaml", "[grpo, lens], seeds: [1]", "[grpo, lens], seeds: [1, 2]")
    jobs = finished.planned()
    assert jobs["train"] == 2
    assert jobs["sample_completions"] == 4
    assert jobs["score_completions"] == 2
    assert jobs["collect_rollouts"] == 2
    jobs = set(jobs) - {"train", "sample_completions", "score_completions", "collect_rollouts"}
    assert jobs == {"table1", "figure5_math_dapo", *FROM_ALL_RUNS}


def test_one_training_again_leaves_the_others_alone(finished):
    manifest = "results/smoke/runs/tiny_math-numina_lens-mixed-only_s1/manifest.json"
    jobs = finished.planned("--forcerun", manifest, "--", "all")
    assert jobs.pop("sample_completions") == 2
    assert jobs == {
        "train": 1,
        "score_completions": 1,
        "collect_rollouts": 1,
        "table2": 1,
        **dict.fromkeys(FROM_ALL_RUNS, 1),
        "execute_notebook": 5,
    }


def test_another_alpha_trains_the_method_that_has_it(finished):
    finished.edit("config/methods.yaml", "alpha: 0.25}}\n\n# Other", "alpha: 0.5}}\n\n# Other")
    status, output = finished.snakemake("--dry-run", "--until", "train")
    assert re.findall(r"output: .*/runs/(\w[^/]*)/config.json", output) == [
        "tiny_math-numina_lens-negative-only_s1"
    ]


def test_a_failed_training_keeps_its_checkpoint_and_goes_on_in_it(fresh):
    run = "tiny_math-dapo_lens_s1"
    target = f"results/smoke/runs/{run}/manifest.json"
    (fresh.folder / "FAIL").touch()
    status, output = fresh.snakemake("--config", "scale=smoke", "--", target)
    assert status != 0
    assert "error: stopped by the test" in output
    (fresh.folder / "FAIL").unlink()
    status, output = fresh.snakemake("--config", "scale=smoke", "--", target)
    assert status == 0, output
    (state,) = fresh.folder.glob(f"results/smoke/runs/{run}/checkpoints/*/state")
    assert state.read_text() == "step\n" * 2


@pytest.mark.parametrize(
    "override, sentence",
    [
        ("scale=tny", "error: scale is 'tny', but must be one of"),
        ("train={group_sizes: 4}", "error: config: unknown key 'train.group_sizes'"),
        ("train={steps: many}", "error: config: train.steps is 'many', but must be a whole number"),
        ("trian={}", "error: config: unknown key 'trian'"),
        ("evaluate={n: 16}", "Hint: it is text."),
        ("data={local_dir: /no/such/folder}", "error: config: data.local_dir is '/no/such/folder'"),
    ],
)
def test_wrong_configuration_ends_with_its_sentence(fresh, override, sentence):
    status, output = fresh.snakemake("--dry-run", "--config", override)
    assert status != 0
    assert sentence in output
    assert "Traceback" not in output
    assert 'File "' not in output


def test_a_file_on_the_command_line_is_laid_over_the_scale(fresh):
    (fresh.folder / "mine.yaml").write_text("evaluate: {n: 8}\n")
    status, output = fresh.snakemake("--dry-run", "--configfile", "mine.yaml")
    assert status != 0
    assert "error: config: evaluate.n is 8, but Pass@16" in output


def test_a_file_on_the_command_line_may_add_methods(fresh):
    (fresh.folder / "mine.yaml").write_text(
        "methods:\n"
        "  lens-half: {advantage: lens, options: {alpha: 0.5}}\n"
        "  lens: {advantage: lens, options: {alpha: -1}}\n"
        "experiments: [{model: tiny, mix: math-dapo, methods: [lens-half], seeds: [7]}]\n"
    )
    status, output = fresh.snakemake("--dry-run", "--configfile", "mine.yaml")
    assert status != 0
    assert "lens.options: lens: alpha must be a number of at least 0, got -1" in output
    fresh.edit("mine.yaml", "alpha: -1", "alpha: 1")
    assert fresh.planned("--configfile", "mine.yaml", "--", "trainings")["train"] == 1


def test_wrong_method_ends_with_its_sentence(fresh):
    fresh.edit("config/tiny.yaml", "methods: [grpo, lens]", "methods: [grpo, lense]")
    status, output = fresh.snakemake("--dry-run")
    assert status != 0
    assert "error: config: experiments[0] names the method 'lense'" in output
    assert "Traceback" not in output


def test_results_that_cannot_be_written_stop_before_any_job(fresh):
    (fresh.folder / "results").rmdir()
    (fresh.folder / "results").write_text("not a folder")
    status, output = fresh.snakemake()
    assert status != 0
    assert "cannot write there" in output
    assert "Traceback" not in output
    assert not (fresh.folder / "calls.log").exists()
