"""verl's synchronous trainer with our advantages, our metrics and resumable checkpoints.

Deviations from verl's PPOTrainerSync:
- advantages come from `lens_impl.advantages`, which sees old_log_probs, entropies, masks and uids;
- the batch is fetched once a step and handed to the actor's workers as it is; verl's phases fetch
  and store it through the TransferQueue, row by row of each column, five times and three times;
- dropped responses (`config.lens.keep`) leave the loss, see keep.py;
- dynamic sampling takes groups in a fixed order, see replay_buffer.py, and ends after
  `algorithm.filter_groups.max_num_gen_batches`, which verl's synchronous trainer ignores;
- a step's checkpoint is written after its metrics line, so that a resumed run has neither a gap
  nor a double step; it becomes the one to resume from by an atomic marker, and older ones go;
- validation keeps counts per problem and computes no bootstrap metrics (verl's draw with
  replacement, which biases Pass@k).
"""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import ray
import torch
import transfer_queue as tq
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl.trainer.main_ppo import TaskRunnerV1
from verl.trainer.ppo.utils import Role
from verl.trainer.ppo.v1 import trainer_base
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils
from verl.utils.debug import marked_timer
from verl.utils.metric import reduce_metrics
from verl.utils.py_functional import rename_dict
from verl.workers.utils.padding import response_from_nested, response_to_nested

from lens_impl.advantages import RolloutBatch, compute_advantages
from lens_impl.advantages.diagnostics import step_diagnostics
from lens_impl.files import write_json, write_parquet
from lens_impl.verl_plugin import patches, stopping
from lens_impl.verl_plugin.dropped import KEEP, kept_tokens
from lens_impl.verl_plugin.hf_rollout import (
    BatchedRollout,
    HFActorRolloutRefWorker,
    HFServerManager,
)
from lens_impl.verl_plugin.replay_buffer import OrderedReplayBuffer

RESUME_MARKER = "resume.json"
# What a forward pass of the actor reads of a batch, and all that a step reads of it.
MODEL_FIELDS = ["input_ids", "position_ids", "prompts", "responses", "loss_mask"]
ROLLOUT_FIELDS = [*MODEL_FIELDS, "response_mask", "rm_scores", "rollout_log_probs", "index"]
PHASES = {
    "rollout": "gen",
    "old_log_prob": "old_log_prob",
    "advantage": "adv",
    "update": "update_actor",
    "weights": "update_weights",
    "validation": "testing",
    "step": "step",
}


@register_trainer("lens")
class LensTrainer(PPOTrainerSync):
    """Trains with the method named in `config.lens` (see overrides.py)."""

    def __init__(self, config):
        self.lens = config.lens
        self.folder = Path(config.trainer.default_local_dir)
        # verl asks for the mode's name in several places; this one behaves as its "sync".
        config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        # verl waits 2 s between polls and has no configuration key for it.
        self.replay_buffer.poll_interval = 0.02
        self.started = time.perf_counter()

    def _init_resource_pool_mgr(self):
        super()._init_resource_pool_mgr()
        if self.config.actor_rollout_ref.rollout.name == "hf":
            self.role_worker_mapping[Role.ActorRollout] = ray.remote(HFActorRolloutRefWorker)
            # verl/trainer/ppo/v1/trainer_base.py (_setup) names the class; it has no hook for it.
            trainer_base.LLMServerManager = HFServerManager

    def _build_replay_buffer(self):
        # verl/trainer/ppo/v1/trainer_base.py names the class; with its custom sampler it filters no
        # groups.
        trainer_base.ReplayBuffer = OrderedReplayBuffer
        return super()._build_replay_buffer()

    def on_init_end(self):
        super().on_init_end()
        # What verl's workers were given, after all that verl itself changes.
        resolved = OmegaConf.to_container(self.config, resolve=True)
        # Where this attempt resumed is no property of the training.
        for key in ("resume_mode", "resume_from_path"):
            resolved["trainer"].pop(key)
        write_json(self.folder / "verl_config.json", resolved)
        # A resumed run has validated this step already.
        self.config.trainer.val_before_train &= self.global_steps == 0

    def _balance_batch(self, batch, metrics, **kwargs):
        if self.actor_rollout_wg.world_size == 1:
            # One rank has nothing to balance: whole groups stay together in the loader's order.
            return batch
        return super()._balance_batch(batch, metrics, **kwargs)

    def _add_prompts_to_generate(self, num_prompts: int) -> int:
        """More prompts for dynamic sampling; from its limit on their groups are kept as they are.

        A training that stopped here could not go on: it would come to the same place again.
        """
        self.prompts_sampled += num_prompts
        limit = self.config.algorithm.filter_groups.max_num_gen_batches
        if self.prompts_sampled > limit * self.config.data.train_batch_size:
            self.replay_buffer.filtering = False
            print(
                f"step {self.global_steps}: {limit} batches of prompts hold too few groups with "
                "both correct and wrong responses; the rest of the batch is not filtered."
            )
        return super()._add_prompts_to_generate(num_prompts)

    def prepare_step(self) -> dict:
        self.prompts_sampled = self.config.data.train_batch_size
        self.replay_buffer.filtering = True
        with marked_timer("gen", self.timing_raw):
            return super().prepare_step()

    def _compute_old_log_prob(self, batch, metrics):
        self.rows = tq.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=ROLLOUT_FIELDS
        )
        settings = {"calculate_entropy": True, "compute_loss": False}
        output = self.actor_rollout_wg.compute_log_prob(self._columns(MODEL_FIELDS, settings))
        mask = self.rows["response_mask"]
        self.rows["old_log_probs"] = response_from_nested(output["log_probs"], mask)
        self.rows["entropy"] = response_from_nested(output["entropy"], mask)
        return batch

    def _columns(self, fields: list[str], settings: dict) -> TensorDict:
        """The batch as the actor's workers take it."""
        columns = self.rows.select(*fields)
        temperature = self.config.actor_rollout_ref.rollout.temperature
        tensordict_utils.assign_non_tensor(columns, temperature=temperature, **settings)
        return columns

    def _update_actor(self, batch, metrics):
        actor = self.config.actor_rollout_ref.actor
        responses = actor.ppo_mini_batch_size * self.config.actor_rollout_ref.rollout.n
        settings = {
            "calculate_entropy": actor.calculate_entropy or actor.entropy_coeff != 0,
            "distillation_use_topk": False,
            "distillation_only": False,
            "global_batch_size": responses,
            "mini_batch_size": responses,
            "epochs": actor.ppo_epochs,
            "seed": actor.data_loader_seed,
            "dataloader_kwargs": {"shuffle": actor.shuffle},
        }
        fields = [*MODEL_FIELDS, "response_mask", "old_log_probs", "advantages"]
        output = self.actor_rollout_wg.update_actor(self._columns(fields, settings))
        metrics.update(reduce_metrics(rename_dict(output["metrics"], "actor/")))
        return batch

    def _compute_advantage(self, batch, metrics):
        nested_mask = self.rows["response_mask"]
        fields = ["response_mask", "rm_scores", "rollout_log_probs", "old_log_probs", "entropy"]
        data = self.rows.select(*fields).to_padded_tensor()
        mask = data["response_mask"].bool()
        rollout = RolloutBatch(
            rewards=data["rm_scores"].sum(-1),
            # Keys are {uid}_{session}_{turn}; a uid is one prompt of this batch.
            group_ids=np.array([key.rsplit("_", 2)[0] for key in batch.keys]),
            response_mask=mask,
            old_log_probs=data["old_log_probs"],
            entropies=data["entropy"],
            max_length=self.config.data.max_response_length,
        )
        advantages = compute_advantages(self.lens.advantage, rollout, **self.lens.options)
        kept = KEEP[self.lens.keep](rollout.rewards)
        advantages = advantages * kept[:, None]
        difference = (data["rollout_log_probs"] - data["old_log_probs"])[mask].abs().mean()
        self.step_metrics = {
            **step_diagnostics(rollout, advantages),
            "log_prob_difference": float(difference),
        }
        if self.lens.dump_every and self.global_steps % self.lens.dump_every == 0:
            self._dump_rollout(rollout, advantages)
        self.rows["advantages"] = response_to_nested(advantages, nested_mask)
        if self.lens.keep != "all":
            actor = self.config.actor_rollout_ref
            loss_mask = kept_tokens(
                kept,
                mask,
                actor.actor.ppo_mini_batch_size * actor.rollout.n,
                self.actor_rollout_wg.world_size,
            )
            self.rows["loss_mask"] = response_to_nested(loss_mask.long(), nested_mask)
        return batch

    def _dump_rollout(self, rollout, advantages) -> None:
        """One row a response, for notebooks and for checks of the advantages."""
        problems = {info["index"]: info for info in self.train_dataset.dataframe["extra_info"]}
        problems = [problems[int(index)] for index in self.rows["index"]]
        lengths = rollout.lengths.tolist()
        frame = pd.DataFrame(
            {
                "group": rollout.group_ids,
                "problem_id": [problem["problem_id"] for problem in problems],
                "level": [problem["level"] for problem in problems],
                "response": [
                    self.tokenizer.decode(tokens, skip_special_tokens=True)
                    for tokens in self.rows["responses"].unbind()
                ],
                "reward": rollout.rewards.tolist(),
                "old_log_probs": _rows(rollout.old_log_probs, lengths),
                "entropies": _rows(rollout.entropies, lengths),
                "advantages": _rows(advantages, lengths),
            }
        )
        write_parquet(self.folder / "rollouts" / f"step_{self.global_steps}.parquet", frame)

    def _validate(self) -> dict[str, float]:
        if not isinstance(self.agent_loop_manager, BatchedRollout):
            return super()._validate()
        scores = []
        for columns in self.val_dataloader:
            rows = zip(*columns.values(), strict=True)
            problems = [dict(zip(columns, row, strict=True)) for row in rows]
            scores += self.agent_loop_manager.validate(problems, self.global_steps)
        return self._write_validation(pd.DataFrame(scores).rename(columns={"score": "reward"}))

    def _val_metrics_update(
        self, data_sources, sample_uids, reward_extra_infos_dict, sample_turns, **kwargs
    ) -> dict[str, float]:
        columns = {key: reward_extra_infos_dict[key] for key in ("problem_id", "level", "reward")}
        return self._write_validation(pd.DataFrame(columns))

    def _write_validation(self, samples: pd.DataFrame) -> dict[str, float]:
        """Write the validation of this step: one row a problem (n samples, correct)."""
        problems = samples.groupby("problem_id", sort=True).agg(
            level=("level", "first"), n=("reward", "size"), correct=("reward", "sum")
        )
        frame = problems.reset_index().assign(step=self.global_steps)
        frame["correct"] = frame["correct"].astype(int)
        write_parquet(
            self.folder / "validation" / f"step_{self.global_steps}.parquet",
            frame[["step", "problem_id", "level", "n", "correct"]],
        )
        return {"validation/accuracy": float(samples["reward"].mean())}

    def _save_checkpoint(self):
        """Wait for the metrics line of this step (see _compute_metrics)."""
        self.checkpoint_due = True

    def _compute_metrics(self, batch, metrics, timing_raw, global_steps, epoch):
        self._write_metrics(metrics, timing_raw)
        stop = stopping.requested()
        if stop or getattr(self, "checkpoint_due", False):
            self.checkpoint_due = False
            super()._save_checkpoint()
            self._mark_checkpoint()
        if stop:
            # Ends the loop of verl's fit() after this step.
            self.total_training_steps = self.global_steps

    def _write_metrics(self, metrics: dict, timing_raw: dict) -> None:
        seconds = {name: timing_raw[key] for name, key in PHASES.items() if key in timing_raw}
        seconds |= getattr(self.agent_loop_manager, "seconds", {})
        line = {
            "step": self.global_steps,
            **self.step_metrics,
            **self._sampled_groups(metrics),
            "clip_fraction": metrics["actor/pg_clipfrac"],
            "grad_norm": metrics["actor/grad_norm"],
            "loss": metrics["actor/pg_loss"],
            "learning_rate": metrics["actor/lr"],
            "validation_accuracy": metrics.get("validation/accuracy"),
            "seconds": {name: round(value, 4) for name, value in seconds.items()},
        }
        with open(self.folder / "metrics.jsonl", "a") as lines:
            lines.write(json.dumps({key: _plain(value) for key, value in line.items()}) + "\n")
            lines.flush()
            os.fsync(lines.fileno())

    def _sampled_groups(self, metrics: dict) -> dict[str, int]:
        """Groups that were sampled for this step, and those of them that dynamic sampling dropped.

        The rest was trained on, or left over when the batch was full.
        """
        dropped = int(metrics.get("training/filter_groups/evicted_samples", 0))
        left_over = int(metrics.get("training/filter_groups/discarded_surplus_samples", 0))
        sampled = self.config.data.train_batch_size + dropped + left_over
        return {"groups_sampled": sampled, "groups_dropped": dropped}

    def _mark_checkpoint(self) -> None:
        write_json(self.folder / RESUME_MARKER, {"step": self.global_steps})
        for other in self.folder.glob("global_step_*"):
            if other.name != f"global_step_{self.global_steps}":
                shutil.rmtree(other)


class LensTaskRunner(TaskRunnerV1.__ray_metadata__.modified_class):
    """verl's task runner, which hands the engine `hf` its batched rollout and its queue."""

    def run(self, config):
        if config.actor_rollout_ref.rollout.name == "hf":
            patches.use_local_queue()
        super().run(config)

    def init_agent_loop_manager(self):
        if self.config.actor_rollout_ref.rollout.name == "hf":
            self.agent_loop_manager = BatchedRollout(
                self.config, self.trainer.actor_rollout_wg, self.trainer.tokenizer
            )
        else:
            super().init_agent_loop_manager()


def _rows(matrix: torch.Tensor, lengths: list[int]) -> list[list[float]]:
    return [row[:length].tolist() for row, length in zip(matrix, lengths, strict=True)]


def _plain(value):
    return value.item() if isinstance(value, (np.generic, torch.Tensor)) else value
