"""Costs of a scale: the FLOP model by hand, measured steps instead of it, disk, wall time."""

import pytest

from lens_impl.errors import UserError
from lens_impl.experiments import configuration
from lens_impl.experiments.costs import (
    GPUS,
    Assumptions,
    Gpu,
    checkpoint_bytes,
    disk_bytes,
    forward_flops,
    makespan,
    modelled,
    plan,
    sampling_seconds,
    validations,
)
from lens_impl.experiments.runs import planned_runs
from lens_impl.experiments.settings import checkpoint_hash, training_settings
from lens_impl.files import ROOT, write_jsonl
from lens_impl.report.plan import render

SIZE = {"parameters": 1e9, "layers": 10, "hidden": 1000, "kv": 100}
GPU = Gpu(peak=1e14, memory=10e9, bandwidth=1e12)
ASSUMED = Assumptions(response_tokens=100, prompt_tokens=50, compute_share=0.5, bandwidth_share=0.5)


def load(scale):
    return configuration.load(scale, ROOT)


def test_forward_pass_by_hand():
    # 2 N = 2e9, and 4 x 10 layers x 1,000 x 200 tokens = 8e6.
    assert forward_flops(SIZE, 200) == 2.008e9


def test_sampling_that_is_bound_by_bandwidth_by_hand():
    # A row's cache is 2 x 10 x 100 x 2 bytes x 100 tokens = 0.4 MB: 50 rows read 2.02 GB a token,
    # at 5e11 bytes/s; the FLOPs of 50 tokens take 2.004e9 x 50 / 5e13 = 2 ms, less.
    seconds = sampling_seconds(SIZE, GPU, 1, 0.5, 50, 100, ASSUMED)
    assert seconds == pytest.approx(100 * 2.02e9 / 5e11)
    # The longest continues for 900 tokens more, each of which reads the weights.
    longer = sampling_seconds(SIZE, GPU, 1, 0.5, 50, 1000, ASSUMED)
    assert longer - seconds == pytest.approx(900 * 2e9 / 5e11)
    # Two GPUs with 25 rows each read the weights once each.
    two = sampling_seconds(SIZE, GPU, 2, 0.5, 50, 100, ASSUMED)
    assert two == pytest.approx(100 * 2.01e9 / 5e11)


def test_sampling_that_is_bound_by_compute_by_hand():
    # 256 rows at once take 2.004e9 x 256 / 5e13 = 10.26 ms a token, and reading 4.2 ms.
    seconds = sampling_seconds(SIZE, GPU, 1, 0.5, 512, 100, ASSUMED)
    assert seconds == pytest.approx(2 * 100 * 2.004e9 * 256 / 5e13)


def test_a_model_that_does_not_fit_is_a_sentence():
    with pytest.raises(UserError, match="does not fit into 2 GB of one GPU"):
        sampling_seconds(SIZE, GPU, 1, 0.2, 50, 100, ASSUMED)


def test_training_phases_by_hand():
    config = load("one_gpu")
    (model,) = config["models"]
    a = Assumptions(response_tokens=800, prompt_tokens=200)
    found = modelled(config, model, GPUS["h100"], a)
    flops = 2 * 1.54e9 + 4 * 28 * 1536 * 500
    forward = 64 * 16 * 1000 * flops / (989e12 * 0.35)
    assert found.phases["old_log_prob"] == pytest.approx(forward)
    assert found.phases["update"] == pytest.approx(4 * forward)
    parts = ("rollout", "old_log_prob", "update")
    assert found.phases["step"] == pytest.approx(15 + sum(found.phases[part] for part in parts))


def test_validations_are_before_the_first_step_and_after_the_last():
    config = load("paper")
    assert (config["train"]["steps"], config["train"]["validate_every"]) == (350, 25)
    assert validations(config) == 15
    config["train"]["validate_every"] = 100
    assert validations(config) == 5  # 0, 100, 200, 300, 350


def test_a_checkpoint_of_8b_is_128_gb_and_two_lie_side_by_side():
    config = load("paper")
    model = "llama-3-1-8b-instruct"
    size = config["models"][model]["size"]
    assert checkpoint_bytes(size) == pytest.approx(128.5e9, rel=1e-3)
    largest, kept = disk_bytes(config, model, Assumptions())
    assert largest == pytest.approx(2 * 128.5e9, rel=0.01)
    assert kept == pytest.approx(32.1e9, rel=0.02)
    config["train"]["gpu"]["keep_optimizer"] = True
    assert disk_bytes(config, model, Assumptions())[1] == pytest.approx(128.5e9, rel=0.01)


def test_makespan_by_hand():
    assert makespan([5, 4, 3, 3, 3], 2) == 10  # 5 + 3, and 4 + 3 + 3
    assert makespan([2, 2], 1) == 4
    assert makespan([2, 2], 5) == 2


def test_totals_are_sums_over_models_by_hand():
    found = plan(load("paper"), "h100", 16, Assumptions(), ROOT / "none")
    llama, qwen = found.costs
    assert (llama.runs, qwen.runs, found.runs) == (8, 6, 14)
    training = 8 * (8 * llama.hours + 6 * qwen.hours)
    # Each model's runs and its base model.
    evaluation = 9 * llama.evaluation + 7 * qwen.evaluation
    assert found.gpu_hours == pytest.approx(training + evaluation)
    # Two at a time, the longest first: four of Llama and three of Qwen one after another.
    assert found.runs_at_once == 2
    assert found.wall_hours == pytest.approx(4 * llama.hours + 3 * qwen.hours + evaluation / 16)
    largest, kept = found.disk
    assert kept == pytest.approx(8 * llama.disk[1] + 6 * qwen.disk[1])
    assert largest - kept == pytest.approx(2 * (llama.disk[0] - llama.disk[1]))


def test_the_plan_of_the_paper_says_what_validation_samples():
    text = render(plan(load("paper"), "h100", 64, Assumptions(), ROOT / "none"))
    assert "14 runs of 350 steps, 15 validations" in text
    assert "samples 80,000 completions, a step 2,048" in text
    assert "1.7 times what training does" in " ".join(text.split())
    assert "arXiv:2001.08361" in text and "989 TFLOP/s" in text
    assert "8 runs at a time" in text


def test_measured_steps_take_the_place_of_the_model(tmp_path):
    config = load("tiny")
    with pytest.raises(UserError, match="no run of tiny has been measured yet"):
        plan(config, "h100", None, Assumptions(), tmp_path)
    run = planned_runs(config)[2]
    digest = checkpoint_hash(training_settings(config, run))
    seconds = {"rollout": 1.0, "old_log_prob": 2.0, "update": 3.0, "step": 90.0}
    lines = [{"step": step, "seconds": seconds} for step in (1, 2, 3)]
    lines[1]["seconds"] = seconds | {"validation": 720.0}
    write_jsonl(tmp_path / f"tiny/runs/{run.name}/checkpoints/{digest}/metrics.jsonl", lines)
    text = render(plan(config, "h100", 2, Assumptions(), tmp_path))
    assert "median of 3 measured steps" in text and "FLOP model" not in text
    # 40 steps of 90 s; 5 validations of 720 s.
    (row,) = [line for line in text.splitlines() if line.startswith("| tiny ")]
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[2:8] == ["8", "1", "2", "3", "90", "1.0"] and cells[8] == "1.0"


@pytest.mark.parametrize(
    "arguments, sentence",
    [(("b100", None), "--gpu is 'b100'"), (("h100", 4), "--gpus is 4, but one run takes 8")],
)
def test_wrong_clusters_are_a_sentence(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        plan(load("paper"), *arguments, Assumptions(), ROOT)
