"""Real training runs with verl on the CPU: advantages, determinism, kill -9 and resume."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from support.pipeline import CONFIG, STEPS, call, train_command, trajectory
from support.reference_advantages import reference

from lens_impl.experiments.settings import evaluation_config
from lens_impl.files import ROOT, read_jsonl

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uninterrupted(inputs, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("uninterrupted")
    call(*train_command(inputs, run_dir))
    return run_dir


def checkpoints(run_dir: Path) -> Path:
    return next((run_dir / "checkpoints").iterdir())


def test_every_step_has_what_the_paper_looks_at(uninterrupted):
    lines = read_jsonl(uninterrupted / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    for line in lines:
        shares = [line[f"groups_{kind}"] for kind in ("all_wrong", "mixed", "all_correct")]
        assert sum(shares) == pytest.approx(1)
        assert line["tokens"] > 0 and line["grad_norm"] >= 0 and line["entropy"] > 0
        # The rollout engine and the actor have the same weights.
        assert line["log_prob_difference"] < 1e-4
        assert {"step", "rollout", "reward", "old_log_prob", "update"} <= set(line["seconds"])
    assert any(line["grad_norm"] > 0 for line in lines)
    curves = pd.read_parquet(uninterrupted / "curves.parquet")
    assert sorted(curves["step"].unique()) == [0, 3, 6]
    assert (curves["n"] == 4).all() and (curves.groupby("step").size() == 10).all()
    manifest = json.loads((uninterrupted / "manifest.json").read_text())
    assert manifest["steps"] == STEPS and manifest["mlflow_run_id"]


def test_advantages_of_a_real_rollout(uninterrupted):
    """Recomputed from the dumped rewards and log-probabilities by a plain loop."""
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

    from lens_impl.advantages import RolloutBatch, compute_advantages
    from lens_impl.advantages.batch import padded

    metrics = read_jsonl(uninterrupted / "metrics.jsonl")
    kinds = set()
    for line in metrics:
        dump = pd.read_parquet(
            checkpoints(uninterrupted) / "rollouts" / f"step_{line['step']}.parquet"
        )
        batch = RolloutBatch.from_dump(dump)
        advantages = padded(dump["advantages"]).numpy()
        assert np.abs(advantages - reference("lens", batch, alpha=0.25)).max() < 1e-5

        assert line["reward"] == pytest.approx(dump["reward"].mean())
        correct = dump.groupby("group")["reward"].mean()
        assert line["groups_all_wrong"] == pytest.approx((correct == 0).mean())
        assert dump.groupby("group").size().eq(8).all()
        assert dump.groupby("group")["problem_id"].nunique().eq(1).all()
        kinds |= {"all wrong" if c == 0 else "mixed" if c < 1 else "all correct" for c in correct}

        token_rewards = torch.zeros(batch.mask.shape)
        token_rewards[torch.arange(len(batch.lengths)), batch.lengths - 1] = batch.rewards.float()
        theirs, _ = compute_grpo_outcome_advantage(token_rewards, batch.mask, batch.group_ids)
        assert (compute_advantages("grpo", batch) - theirs * batch.mask).abs().max() < 1e-5
    assert {"all wrong", "mixed"} <= kinds


def kill_tree(process: subprocess.Popen) -> None:
    """kill -9 for a process and everything that it or its children started."""
    root = psutil.Process(process.pid)
    family = [root, *root.children(recursive=True)]
    for member in family:
        member.kill()
    psutil.wait_procs(family, timeout=30)
    process.wait()


def pass_at_k(inputs: Path, run_dir: Path) -> bytes:
    config = json.dumps(evaluation_config(CONFIG))
    evaluate = ("lens_impl.evaluation.evaluate", "sample", "--model", run_dir / "manifest.json")
    shard, out = run_dir / "shard.parquet", run_dir / "pass_at_k_math.csv"
    call(
        *evaluate, *("--data", inputs / "eval.parquet", "--shard", 0, "--shards", 1),
        *("--config", config, "--out", shard),
    )  # fmt: skip
    call(
        *("lens_impl.evaluation.evaluate", "score", "--shards", shard, "--config", config),
        *("--out", run_dir / "samples_math.parquet", "--pass-at-k", out),
    )
    return out.read_bytes()


def test_a_killed_run_resumes_and_ends_as_if_never_killed(inputs, uninterrupted, tmp_path):
    command = train_command(inputs, tmp_path / "run")
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, start_new_session=True)
    metrics = checkpoints_of(command) / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while not metrics.exists() or metrics.read_text().count("\n") < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    kill_tree(process)
    assert 3 <= metrics.read_text().count("\n") < STEPS
    assert not (tmp_path / "run" / "manifest.json").exists()

    resumed = call(*command)
    assert "resumes after step" in resumed.stdout
    assert trajectory(tmp_path / "run") == trajectory(uninterrupted)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "run" / "curves.parquet"),
        pd.read_parquet(uninterrupted / "curves.parquet"),
    )
    assert pass_at_k(inputs, tmp_path / "run") == pass_at_k(inputs, uninterrupted)


def checkpoints_of(command: list[str]) -> Path:
    return Path(command[command.index("--checkpoints") + 1])


def test_another_seed_is_another_trajectory(inputs, uninterrupted, tmp_path):
    call(*train_command(inputs, tmp_path, seed=2, steps=1))
    assert trajectory(tmp_path)[0] != trajectory(uninterrupted)[0]


def test_two_processes_on_one_checkpoint_folder(inputs, tmp_path):
    from lens_impl.training.checkpoints import locked

    command = train_command(inputs, tmp_path / "run")
    checkpoints_of(command).mkdir(parents=True)
    with locked(checkpoints_of(command)):
        second = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, cwd=ROOT
        )
    assert second.returncode == 2
    assert "in use by another training" in second.stderr and "Traceback" not in second.stderr
    assert os.listdir(checkpoints_of(command)) == ["LOCK"]


def train_method(inputs: Path, run_dir: Path, method: dict) -> tuple[list[dict], dict]:
    """Lines of metrics.jsonl, and what verl's workers received."""
    call(*train_command(inputs, run_dir, steps=2, method=method))
    lines = read_jsonl(run_dir / "metrics.jsonl")
    for line in lines:
        numbers = [value for value in line.values() if isinstance(value, int | float)]
        assert np.isfinite(numbers).all() and line["grad_norm"] > 0
    return lines, json.loads((run_dir / "config.json").read_text())["verl_config"]


def test_dapo_samples_until_every_group_is_mixed(inputs, tmp_path):
    # The smoke model is wrong nearly everywhere, and its rollouts cost little.
    method = CONFIG["methods"]["dapo"] | {"filter_groups": {"max_num_gen_batches": 100}}
    lines, verl = train_method(inputs, tmp_path, method)
    actor = verl["actor_rollout_ref"]["actor"]
    assert (actor["clip_ratio_low"], actor["clip_ratio_high"]) == (0.2, 0.28)
    assert actor["loss_agg_mode"] == "token-mean"
    sampling = verl["algorithm"]["filter_groups"]
    assert sampling["enable"] and sampling["metric"] == "reward"
    assert verl["lens"]["options"] == {"overlong_buffer": 0.2, "overlong_factor": 1.0}
    assert sum(line["groups_dropped"] for line in lines) > 0
    for line in lines:
        assert line["groups_mixed"] == 1
        assert line["groups_sampled"] >= 8 + line["groups_dropped"]
        dump = pd.read_parquet(checkpoints(tmp_path) / "rollouts" / f"step_{line['step']}.parquet")
        assert dump.groupby("group").size().tolist() == [8] * 8
        assert dump.groupby("group")["reward"].nunique().eq(2).all()


def test_nsr_is_the_token_mean_over_wrong_responses(inputs, tmp_path):
    lines, verl = train_method(inputs, tmp_path, CONFIG["methods"]["nsr"])
    assert verl["lens"]["keep"] == "wrong"
    assert verl["actor_rollout_ref"]["actor"]["loss_agg_mode"] == "token-mean"
    for line in lines:
        assert line["gradient_relevant"] == pytest.approx(1 - line["reward"])
        # -A = 1 at every kept token and the ratio is near 1, so verl's own mean is near 1; over all
        # tokens it would be near the share of wrong ones.
        assert line["loss"] == pytest.approx(1, abs=0.02)


def test_rl_zvp_with_another_loss_is_one_line(inputs, tmp_path):
    method = {**CONFIG["methods"]["rl-zvp"], "loss": "seq-mean-token-sum-norm"}
    lines, verl = train_method(inputs, tmp_path, method)
    actor = verl["actor_rollout_ref"]["actor"]
    assert actor["loss_agg_mode"] == "seq-mean-token-sum-norm"
    assert actor["loss_scale_factor"] == CONFIG["train"]["max_response_tokens"]
    assert actor["clip_ratio_high"] == 0.28
    assert not verl["algorithm"]["filter_groups"]["enable"]
    for line in lines:
        dump = pd.read_parquet(checkpoints(tmp_path) / "rollouts" / f"step_{line['step']}.parquet")
        mean_entropy = dump["entropies"].map(np.mean)
        assert line["entropy"] == pytest.approx(mean_entropy.mean(), rel=1e-5)
        wrong = dump[dump.groupby("group")["reward"].transform("max") == 0]
        assert len(wrong)
        for entropies, advantages in zip(wrong["entropies"], wrong["advantages"], strict=True):
            np.testing.assert_allclose(advantages, 0.1 * (entropies - entropies.max()), atol=1e-6)
