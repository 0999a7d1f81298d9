"""verl's dynamic sampling with our rollout: the real trainer's methods, replay buffer, batched
rollout and queue in one process. Ray and the model are replaced.
"""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from lens_impl.experiments.configuration import load
from lens_impl.experiments.runs import Run
from lens_impl.experiments.settings import training_schedule, training_settings
from lens_impl.models.sampling_hf import Completion
from lens_impl.verl_plugin.local_queue import LocalQueue
from lens_impl.verl_plugin.overrides import Paths, verl_overrides
from lens_impl.verl_plugin.records import sampled_groups

pytestmark = pytest.mark.slow

VERL_CONFIG = Path(find_spec("verl").submodule_search_locations[0]) / "trainer" / "config"
BATCH, GROUP = 4, 2


class Tokenizer:
    """A prompt is its problem's number; so is a response, with its place in the group."""

    def apply_chat_template(self, messages, **kwargs):
        return [int(messages[0]["content"])]

    def batch_decode(self, responses, **kwargs):
        return [" ".join(map(str, response)) for response in responses]


class Workers:
    world_size = 1

    def __init__(self):
        self.asked: list = []  # (problem, seed)

    def generate(self, prompts, seeds, sampling):
        self.asked += [(p[0], s) for p, s in zip(prompts[0], seeds[0], strict=True)]
        places = range(len(prompts[0]))
        return [
            [
                Completion([p[0], i % GROUP], [-0.5, -0.5], True)
                for i, p in zip(places, prompts[0], strict=True)
            ]
        ]


@pytest.fixture(scope="module")
def config():
    tiny = load("tiny")
    settings = training_settings(tiny, Run("tiny", "math-dapo", "dapo", 1))
    settings |= {"group_size": GROUP, "prompts_per_rollout": BATCH, "prompts_per_update": BATCH}
    paths = Paths(*map(Path, ["/t", "/v", "/m", "/c"]))
    overrides = verl_overrides(settings, training_schedule(tiny), paths, None)
    with initialize_config_dir(str(VERL_CONFIG), version_base=None):
        config = compose("ppo_trainer", overrides=overrides)
    config.trainer.v1.trainer_mode = "sync"
    config.data.gen_batch_size = 1  # verl sets it when it makes the data loader
    return config


def trainer_of(config, kinds, monkeypatch):
    """A trainer whose data loader cycles over problems that are hard, easy or mixed."""
    from verl.trainer.ppo.v1 import replay_buffer, trainer_base

    from lens_impl.verl_plugin import hf_rollout
    from lens_impl.verl_plugin.trainer import LensTrainer

    queue = LocalQueue()
    for module in (replay_buffer, trainer_base, hf_rollout):
        monkeypatch.setattr(module, "tq", queue)

    def score(text):
        problem, place = map(int, text.split())
        right = {"hard": 0, "easy": 1, "mixed": place}[kinds[problem]]
        return {"score": float(right)}

    def compute_scores(rows, responses):
        return [score(text) for text in responses]

    monkeypatch.setattr(hf_rollout, "compute_scores", compute_scores)
    monkeypatch.setattr(trainer_base, "ReplayBuffer", replay_buffer.ReplayBuffer)
    trainer = object.__new__(LensTrainer)
    trainer.config, trainer.trainer_mode, trainer.global_steps = config, "sync", 1
    trainer.timing_raw, trainer.train_dataloader_it = {}, None
    trainer.train_dataloader = [
        {
            "raw_prompt": _column([{"role": "user", "content": str(i)}]),
            "extra_info": _column({"problem_id": f"p{i}", "level": 1}),
            "reward_model": _column({"ground_truth": "1"}),
            "data_source": _column("tiny"),
            "index": _column(i),
        }
        for i in range(len(kinds))
    ]
    trainer.agent_loop_manager = hf_rollout.BatchedRollout(config, Workers(), Tokenizer())
    trainer.replay_buffer = trainer._build_replay_buffer()
    trainer.replay_buffer.poll_interval = 0
    return SimpleNamespace(trainer=trainer, queue=queue)


def _column(value):
    column = np.empty(1, dtype=object)
    column[0] = value
    return column


def sampled(setup) -> tuple[list[int], dict]:
    """One step's sampling: the problem of each group that is trained on, and verl's metrics."""
    setup.trainer.prepare_step()
    batch, metrics = setup.trainer.replay_buffer.sample(
        global_steps=setup.trainer.global_steps, partition_id="train", batch_size=BATCH
    )
    fields = ["prompts", "responses", "index", "uid"]
    rows = setup.queue.kv_batch_get(batch.keys, "train", fields)
    problems = [int(prompt[0]) for prompt in rows["prompts"].unbind()]
    assert problems == rows["index"].tolist()
    uids = rows.get("uid").tolist()
    assert uids[::GROUP] == uids[1::GROUP] and len(set(uids)) == BATCH  # whole groups, in a row
    assert problems[::GROUP] == problems[1::GROUP]
    places = [int(response[1]) for response in rows["responses"].unbind()]
    assert places == [*range(GROUP)] * BATCH
    setup.queue.kv_clear(batch.keys, "train")
    assert not setup.queue.rows["train"]  # those of dropped groups are gone too
    return problems[::GROUP], sampled_groups(metrics, BATCH)


def test_groups_of_equal_rewards_are_replaced_in_the_order_of_the_prompts(config, monkeypatch):
    kinds = ["hard", "mixed", "hard", "easy", "mixed", "hard", "mixed", "mixed", "mixed", "mixed"]
    for _ in range(3):  # the random ids of the groups decide nothing
        setup = trainer_of(config, kinds, monkeypatch)
        problems, groups = sampled(setup)
        assert problems == [1, 4, 6, 7]
        assert groups == {"groups_sampled": 8, "groups_dropped": 4}
        setup.trainer.global_steps = 2
        problems, groups = sampled(setup)
        assert problems == [8, 9, 1, 4]  # 0, 2 and 3 come again and are dropped again
        assert not setup.queue.tags["train"]


def test_left_over_groups_are_discarded(config, monkeypatch):
    setup = trainer_of(config, ["hard", "hard", "easy", *["mixed"] * 7], monkeypatch)
    problems, groups = sampled(setup)
    assert problems == [3, 4, 5, 6]  # 7 was sampled too
    assert groups == {"groups_sampled": 8, "groups_dropped": 3}


def test_a_prompt_that_comes_again_in_a_step_gets_other_random_numbers(config, monkeypatch):
    setup = trainer_of(config, ["hard", "mixed", "hard", "hard"], monkeypatch)
    problems, _ = sampled(setup)
    assert problems == [1, 1, 1, 1]
    asked = setup.trainer.agent_loop_manager.worker_group.asked
    seeds = [seed for problem, seed in asked if problem == 1]
    assert len(set(seeds)) == len(seeds) >= 4 * GROUP


def test_it_ends_after_its_number_of_batches(config, monkeypatch, capsys):
    """If no group is mixed, verl's trainer alone would sample without end."""
    setup = trainer_of(config, ["hard", "easy", "hard", "easy", "hard"], monkeypatch)
    problems, groups = sampled(setup)
    assert len(problems) == BATCH
    assert groups["groups_dropped"] == 10 * BATCH  # the batches in which it looked for mixed ones
    assert groups["groups_sampled"] <= 11 * BATCH
    assert "step 1: 10 batches of prompts contain too few groups" in capsys.readouterr().out
    setup.trainer.global_steps = 2
    assert sampled(setup)[1]["groups_dropped"] == 10 * BATCH  # the next step filters again


def test_what_it_found_is_kept_when_it_ends(config, monkeypatch):
    kinds = ["hard", "mixed", *["hard"] * 60]
    problems, _ = sampled(trainer_of(config, kinds, monkeypatch))
    assert problems[0] == 1 and len(problems) == BATCH
