"""The workflow as real Snakemake processes. A `python` in place of the real one only writes the
files that it is asked for."""

import json
import os
import re
import shutil

import pytest
from support.project import Project, copy_project

pytestmark = pytest.mark.slow

# Rule -> jobs: 3 tables of the paper and the effects; 4 figures of the paper and 5 beyond it.
SHOWN = {"paper_table": 3, "table": 1, "figure": 9, "execute_notebook": 5}
SHOWN |= {"write_summary": 1, "mirror_tracking": 1, "all": 1}
# The smoke scale has a second evaluation set, which has a table and a figure of its own.
SMOKE = SHOWN | {"table": 2, "figure": 10}
# Of these, what needs all runs: the effects, the five figures beyond the paper, the second set.
FROM_ALL_RUNS = SMOKE | {"figure": 6}
del FROM_ALL_RUNS["paper_table"]
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
    """A project of scale smoke with all results."""
    shutil.copytree(finished_once.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def test_jobs_of_tiny(fresh):
    expected = SHOWN | DATA | {"train": 8, "collect_rollouts": 8}
    expected |= {"sample_completions": 9, "score_completions": 9}
    assert fresh.planned("--config", "scale=tiny") == expected


def test_jobs_of_smoke(fresh):
    expected = SMOKE | DATA | {"train": 4, "collect_rollouts": 4, "prepare_evaluation": 2}
    expected |= {"sample_completions": 20, "score_completions": 10}
    assert fresh.planned("--config", "scale=smoke") == expected


def test_jobs_of_the_comparison_of_all_methods(fresh):
    methods = "config/experiments/every_method.yaml"
    jobs = fresh.planned("--configfile", methods, "--", "methods")
    assert jobs["train"] == jobs["score_completions"] == 12
    assert jobs["table"] == 1 and not jobs.keys() & (SHOWN.keys() - {"table"})


def test_plain_snakemake_uses_all_cores_of_the_machine(fresh):
    status, output = fresh.snakemake("results/tiny/mlflow.init.json")
    assert status == 0, output
    cores = int(re.search(r"Provided cores: (\d+)", output).group(1))
    assert cores == len(os.sched_getaffinity(0))


MINE = "experiments: [{model: qwen-2-5-3b-base, mix: math-numina, methods: [grpo], seeds: [1]}]\n"


def test_an_experiment_needs_only_its_own_models_and_data(fresh):
    (fresh.folder / "mine.yaml").write_text(MINE)
    mine = ("--config", "scale=paper", "--configfile", "mine.yaml")
    jobs = fresh.planned(*mine)
    # math_train, numina and math_test, without DAPO; Qwen without Llama.
    assert jobs["download_dataset"] == 3
    assert jobs["fetch_base_model"] == jobs["measure_regime"] == jobs["mix_prompts"] == 1
    assert jobs["train"] == 1 and jobs["score_completions"] == 2


def test_what_no_experiment_names_is_made_for_who_asks_for_it(fresh):
    (fresh.folder / "mine.yaml").write_text(MINE)
    mine = ("--config", "scale=paper", "--configfile", "mine.yaml", "--")
    mix = fresh.planned(*mine, "results/paper/data/math-dapo.parquet")
    assert mix == {"download_dataset": 3, "fetch_base_model": 1, "mix_prompts": 1}
    model = fresh.planned(*mine, "results/paper/models/llama-3-1-8b-instruct")
    assert model == {"fetch_base_model": 1}


def test_every_evaluation_set_is_sampled_with_its_own_n(fresh):
    (fresh.folder / "mine.yaml").write_text(
        "data: {evaluation_sets: [math, aime24]}\n"
        "tiny_problems: {sizes: {aime24_test: 30}, levels: {aime24_test: [0, 0, 0, 1, 1]}}\n"
        "evaluate: {sets: {aime24: {n: 32, k: [1, 32]}}}\n"
    )
    jobs = fresh.planned("--configfile", "mine.yaml")
    assert jobs["make_tiny_problems"] == 1 and jobs["prepare_evaluation"] == 2
    assert jobs["score_completions"] == 18 and jobs["table"] == 2 and jobs["figure"] == 10
    status, output = fresh.snakemake("--dry-run", "-p", "--configfile", "mine.yaml")
    assert status == 0
    assert len(re.findall(r'"k": \[1, 32\].*"n": 32', output)) == 18  # sampled and scored
    assert len(re.findall(r'"k": \[1, 2, 4, 8, 16\].*"n": 16', output)) == 18


def test_an_experiment_with_fewer_models_leaves_prepared_data_alone(fresh):
    (fresh.folder / "mine.yaml").write_text(MINE)
    mix = "results/paper/data/math-numina.parquet"
    status, output = fresh.snakemake("--config", "scale=paper", "--", mix)
    assert status == 0, output
    both = {"llama-3-1-8b-instruct": {}, "qwen-2-5-3b-base": {}}
    report = fresh.folder / "results/paper/data/math-numina.report.json"
    report.write_text(json.dumps({"prompt_tokens": both}))
    mine = ("--config", "scale=paper", "--configfile", "mine.yaml", "--", mix)
    assert fresh.planned(*mine) == {}


def test_second_run_has_nothing_to_do(finished):
    status, output = finished.snakemake()
    assert status == 0
    assert "Nothing to be done" in output
    assert not list(finished.folder.glob("results/smoke/runs/*/shards/*"))


def test_a_comment_in_a_configuration_file_runs_nothing_again(finished):
    for name in ("config", "scales/smoke", "methods"):
        file = finished.folder / "config" / f"{name}.yaml"
        file.write_text("# a comment\n" + file.read_text())
    assert finished.planned() == {}


def test_another_mlflow_address_runs_nothing_again(finished):
    assert finished.planned("--config", "mlflow={tracking_uri: http://127.0.0.1:5000}") == {}


def test_a_new_seed_trains_that_seed_only(finished):
    finished.edit(
        "config/scales/smoke.yaml", "[grpo, lens], seeds: [1]", "[grpo, lens], seeds: [1, 2]"
    )
    jobs = finished.planned()
    trained = {"train": 2, "sample_completions": 8, "score_completions": 4, "collect_rollouts": 2}
    # Table 1 and Figure 5 show the mix that has the new seed.
    assert jobs == FROM_ALL_RUNS | trained | {"paper_table": 1, "figure": 7}


def test_one_run_again_leaves_the_others_alone(finished):
    manifest = "results/smoke/runs/tiny_math-numina_lens-mixed-only_s1/manifest.json"
    jobs = finished.planned("--forcerun", manifest, "--", "all")
    trained = {"train": 1, "sample_completions": 4, "score_completions": 2, "collect_rollouts": 1}
    # Table 2 is the ablation.
    assert jobs == FROM_ALL_RUNS | trained | {"paper_table": 1}


def test_another_alpha_trains_the_method_that_has_it(finished):
    finished.edit("config/methods.yaml", "alpha: 0.25}}\n\n# Other", "alpha: 0.5}}\n\n# Other")
    status, output = finished.snakemake("--dry-run", "--until", "train")
    assert re.findall(r"output: .*/runs/(\w[^/]*)/config.json", output) == [
        "tiny_math-numina_lens-negative-only_s1"
    ]


def test_a_failed_run_keeps_its_checkpoint_and_resumes_in_it(fresh):
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
        ("data={evaluation_sets: [math, aim24]}", "error: unknown set 'aim24' in data.evaluation"),
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
    fresh.edit("config/scales/tiny.yaml", "methods: [grpo, lens]", "methods: [grpo, lense]")
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
