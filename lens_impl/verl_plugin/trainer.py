"""verl's synchronous trainer with our advantages, our metrics and resumable checkpoints.

Deviations from verl's PPOTrainerSync:
- advantages come from `lens_impl.advantages`, which sees old_log_probs, entropies, masks and uids;
- the batch is fetched once per step and handed to the actor's workers as it is; verl's phases fetch
  and store it through the TransferQueue, row by row of each column, five times and three times;
- dropped responses (`config.lens.keep`) leave the loss, see dropped.py;
- dynamic sampling takes groups in a fixed order, see replay_buffer.py, and ends after
  `algorithm.filter_groups.max_num_gen_batches`, which verl's synchronous trainer ignores;
- a step's checkpoint is written after its metrics line, so that a resumed run has neither a gap
  nor a double step; it becomes the one to resume from by an atomic marker, and older ones are
  deleted;
- validation keeps counts per problem and computes no bootstrap metrics (verl's draw with
  replacement, which biases Pass@k).

In the order in which verl's fit() calls the hooks of a step:
    prepare_step (_add_prompts_to_generate)     prompts go to the rollout
    _balance_batch                              which rows each rank gets
    _compute_old_log_prob                       the rows are fetched; the actor reads them
    _compute_advantage
    _update_actor
    _save_checkpoint                            only remembers that one is due
    _validate                                   in some steps
    _compute_metrics                            the metrics line, then the checkpoint
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import ray
import transfer_queue as tq
from omegaconf import DictConfig, OmegaConf
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
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
from lens_impl.files import append_jsonl, write_json, write_parquet
from lens_impl.verl_plugin import patches, stopping
from lens_impl.verl_plugin.dropped import KEEP, kept_tokens
from lens_impl.verl_plugin.hf_rollout import (
    BatchedRollout,
    HFActorRolloutRefWorker,
    HFServerManager,
)
from lens_impl.verl_plugin.records import (
    metrics_line,
    phase_seconds,
    rollout_dump,
    validation_counts,
)
from lens_impl.verl_plugin.replay_buffer import OrderedReplayBuffer

RESUME_MARKER = "resume.json"
# Columns that a forward pass of the actor reads, and all that a step reads of the rollout.
MODEL_COLUMNS = ["input_ids", "position_ids", "prompts", "responses", "loss_mask"]
ROLLOUT_COLUMNS = [*MODEL_COLUMNS, "response_mask", "rm_scores", "rollout_log_probs"]
ROLLOUT_COLUMNS += ["uid", "index"]
ADVANTAGE_COLUMNS = ["response_mask", "rm_scores", "rollout_log_probs", "old_log_probs", "entropy"]
UPDATE_COLUMNS = [*MODEL_COLUMNS, "response_mask", "old_log_probs", "advantages"]


@dataclass
class Step:
    """One training step: prepare_step makes it, and the hooks after it fill it.

    prompts_sampled: prompts sent to the rollout so far; dynamic sampling sends more.
    rows: one row per response, B = prompts x rollout.n of them. The engine `hf` keeps groups
        together, in the data loader's order; verl's engines store rows as they end; on several
        ranks _balance_batch then deals rows out by length.
        uid                     [B] strings, the prompt: rows of one group share it
        index                   [B] int, the problem's row in the training file
        prompts, responses      [B, ragged] token ids
        input_ids, position_ids [B, ragged] of prompt and response together
        response_mask           [B, ragged] over the response's tokens, all 1
        loss_mask               [B, ragged] like response_mask, 0 in dropped rows (dropped.py)
        rm_scores               [B, ragged] the reward at the last token, 0 before
        rollout_log_probs       [B, ragged] log-probabilities from the rollout engine
        old_log_probs, entropy  [B, ragged] from the actor (_compute_old_log_prob)
        advantages              [B, ragged] (_compute_advantage)
    diagnostics: what metrics.jsonl says of the rollout and the advantages.
    checkpoint_due: verl asked for a checkpoint after this step.
    """

    prompts_sampled: int
    rows: TensorDict = field(init=False)
    diagnostics: dict[str, Any] = field(init=False)
    checkpoint_due: bool = False


@register_trainer("lens")
class LensTrainer(PPOTrainerSync):
    """Trains with the method in `config.lens`: advantage, options, keep, dump_every.

    The hooks say which method of verl's PPOTrainer (trainer_base.py) or PPOTrainerSync they extend
    (they call it) or replace (they do not). A batch [KVBatchMeta] is the keys and tags of the rows.
    """

    current: Step

    def __init__(self, config: DictConfig) -> None:
        self.method = config.lens
        self.folder = Path(config.trainer.default_local_dir)
        # verl asks for the mode's name in several places; this one behaves as its "sync".
        config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        # verl waits 2 s between polls and has no configuration key for it.
        self.replay_buffer.poll_interval = 0.02

    def _init_resource_pool_mgr(self) -> None:
        """Extends PPOTrainer's, which names the classes of the workers."""
        super()._init_resource_pool_mgr()
        if self.config.actor_rollout_ref.rollout.name == "hf":
            self.role_worker_mapping[Role.ActorRollout] = ray.remote(HFActorRolloutRefWorker)
            # verl/trainer/ppo/v1/trainer_base.py (_setup) names the class; it has no hook for it.
            trainer_base.LLMServerManager = HFServerManager

    def _build_replay_buffer(self) -> OrderedReplayBuffer:
        """Extends PPOTrainer's, which names its own class.

        verl's setting for a custom sampler would take another class but then filter no groups.
        """
        trainer_base.ReplayBuffer = OrderedReplayBuffer
        return super()._build_replay_buffer()

    def on_init_end(self) -> None:
        """Extends PPOTrainerSync's, which sends the weights to the rollout: records the config."""
        super().on_init_end()
        # What verl's workers were given, after all that verl itself changes.
        resolved = OmegaConf.to_container(self.config, resolve=True)
        # Where this attempt resumed is no property of the run.
        for key in ("resume_mode", "resume_from_path"):
            resolved["trainer"].pop(key)
        write_json(self.folder / "verl_config.json", resolved)
        # A resumed run has validated this step already.
        self.config.trainer.val_before_train &= self.global_steps == 0

    def prepare_step(self) -> dict:
        """Extends PPOTrainer's, which sends the step's prompts to the rollout: makes the Step."""
        self.current = Step(prompts_sampled=self.config.data.train_batch_size)
        self.replay_buffer.filtering = True
        # The engine `hf` samples within this call; verl's engines only start.
        with marked_timer("gen", self.timing_raw):
            return super().prepare_step()

    def _add_prompts_to_generate(self, num_prompts: int) -> int:
        """Extends PPOTrainer's, which dynamic sampling calls for more prompts: sets a limit.

        Beyond the limit groups are kept as they are. A run that stopped there instead could not
        resume: it would reach the same point again.
        """
        self.current.prompts_sampled += num_prompts
        limit = self.config.algorithm.filter_groups.max_num_gen_batches
        if self.current.prompts_sampled > limit * self.config.data.train_batch_size:
            self.replay_buffer.filtering = False
            print(
                f"step {self.global_steps}: {limit} batches of prompts contain too few groups with "
                "both correct and wrong responses; the rest of the batch is not filtered."
            )
        return super()._add_prompts_to_generate(num_prompts)

    def _balance_batch(self, batch: KVBatchMeta, metrics: dict, **kwargs: Any) -> KVBatchMeta:
        """Extends PPOTrainer's, which deals rows of similar total length to each rank."""
        if self.actor_rollout_wg.world_size == 1:
            # Nothing to balance: the rows keep their order.
            return batch
        return super()._balance_batch(batch, metrics, **kwargs)

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        """Replaces PPOTrainer's: fetches the rows and adds old_log_probs and entropy to them."""
        rows = tq.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=ROLLOUT_COLUMNS
        )
        settings = {"calculate_entropy": True, "compute_loss": False}
        output = self.actor_rollout_wg.compute_log_prob(
            self._for_actor(rows.select(*MODEL_COLUMNS), settings)
        )
        mask = rows["response_mask"]
        rows["old_log_probs"] = response_from_nested(output["log_probs"], mask)
        rows["entropy"] = response_from_nested(output["entropy"], mask)
        self.current.rows = rows
        return batch

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        """Replaces PPOTrainer's: adds advantages to the rows, and loss_mask 0 where dropped."""
        rows = self.current.rows
        padded = rows.select(*ADVANTAGE_COLUMNS).to_padded_tensor()
        uids = rows.get("uid").tolist()
        rollout = rollout_batch(padded, uids, self.config.data.max_response_length)
        kept = KEEP[self.method.keep](rollout.rewards)
        advantages = compute_advantages(self.method.advantage, rollout, **self.method.options)
        advantages = advantages * kept[:, None]
        self.current.diagnostics = {
            **step_diagnostics(rollout, advantages),
            "log_prob_difference": log_prob_difference(padded),
        }
        if self.method.dump_every and self.global_steps % self.method.dump_every == 0:
            infos = self.train_dataset.dataframe["extra_info"]
            dump = rollout_dump(rows, rollout, advantages, infos, self.tokenizer)
            write_parquet(self.folder / "rollouts" / f"step_{self.global_steps}.parquet", dump)
        rows["advantages"] = response_to_nested(advantages, rows["response_mask"])
        if self.method.keep != "all":
            ranks = self.actor_rollout_wg.world_size
            mask = rollout.response_mask
            loss_mask = kept_tokens(kept, mask, self._rows_per_update(), ranks)
            rows["loss_mask"] = response_to_nested(loss_mask.long(), rows["response_mask"])
        return batch

    def _update_actor(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        """Replaces PPOTrainer's: sends the rows to the workers; adds actor/* to verl's metrics."""
        actor = self.config.actor_rollout_ref.actor
        settings = {
            "calculate_entropy": actor.calculate_entropy or actor.entropy_coeff != 0,
            "distillation_use_topk": False,
            "distillation_only": False,
            "global_batch_size": self._rows_per_update(),
            "mini_batch_size": self._rows_per_update(),
            "epochs": actor.ppo_epochs,
            "seed": actor.data_loader_seed,
            "dataloader_kwargs": {"shuffle": actor.shuffle},
        }
        rows = self._for_actor(self.current.rows.select(*UPDATE_COLUMNS), settings)
        output = self.actor_rollout_wg.update_actor(rows)
        metrics.update(reduce_metrics(rename_dict(output["metrics"], "actor/")))
        return batch

    def _for_actor(self, rows: TensorDict, settings: dict[str, Any]) -> TensorDict:
        """Rows as the actor's workers take them: with the settings of the call."""
        temperature = self.config.actor_rollout_ref.rollout.temperature
        tensordict_utils.assign_non_tensor(rows, temperature=temperature, **settings)
        return rows

    def _rows_per_update(self) -> int:
        config = self.config.actor_rollout_ref
        return config.actor.ppo_mini_batch_size * config.rollout.n

    def _save_checkpoint(self) -> None:
        """Postpones PPOTrainer's until the metrics line is written (_compute_metrics)."""
        self.current.checkpoint_due = True

    def _validate(self) -> dict[str, float]:
        """Replaces PPOTrainer's on the engine `hf`; other engines: see _val_metrics_update."""
        if not isinstance(self.agent_loop_manager, BatchedRollout):
            return super()._validate()
        scores: list[dict[str, Any]] = []
        for columns in self.val_dataloader:
            rows = zip(*columns.values(), strict=True)
            problems = [dict(zip(columns, row, strict=True)) for row in rows]
            scores += self.agent_loop_manager.validate(problems, self.global_steps)
        return self._write_validation(pd.DataFrame(scores).rename(columns={"score": "reward"}))

    def _val_metrics_update(
        self,
        data_sources: Sequence[str],
        sample_uids: Sequence[str],
        reward_extra_infos_dict: dict[str, list],
        sample_turns: Sequence[int],
        **kwargs: Any,
    ) -> dict[str, float]:
        """Replaces PPOTrainer's, which its _validate calls with what the reward workers returned.

        reward_extra_infos_dict: one value per sample in each entry (see reward.py).
        """
        names = ("problem_id", "level", "reward")
        return self._write_validation(
            pd.DataFrame({name: reward_extra_infos_dict[name] for name in names})
        )

    def _write_validation(self, samples: pd.DataFrame) -> dict[str, float]:
        """Write the counts of this step's validation; samples: see validation_counts."""
        counts = validation_counts(samples, self.global_steps)
        write_parquet(self.folder / "validation" / f"step_{self.global_steps}.parquet", counts)
        return {"validation/accuracy": float(samples["reward"].mean())}

    def _compute_metrics(
        self, batch: KVBatchMeta, metrics: dict, timing_raw: dict, global_steps: int, epoch: int
    ) -> None:
        """Replaces PPOTrainer's, the last call of a step: the metrics line, then the checkpoint."""
        seconds = phase_seconds(timing_raw)
        if isinstance(self.agent_loop_manager, BatchedRollout):
            seconds |= self.agent_loop_manager.seconds
        prompts = self.config.data.train_batch_size
        diagnostics = self.current.diagnostics
        line = metrics_line(self.global_steps, diagnostics, metrics, prompts, seconds)
        append_jsonl(self.folder / "metrics.jsonl", line)
        stop = stopping.requested()
        if stop or self.current.checkpoint_due:
            super()._save_checkpoint()
            self._mark_checkpoint()
        if stop:
            # Ends the loop of verl's fit() after this step.
            self.total_training_steps = self.global_steps

    def _mark_checkpoint(self) -> None:
        """Make this step's checkpoint the one to resume from, and delete older ones."""
        write_json(self.folder / RESUME_MARKER, {"step": self.global_steps})
        for other in self.folder.glob("global_step_*"):
            if other.name != f"global_step_{self.global_steps}":
                shutil.rmtree(other)


def rollout_batch(padded: TensorDict, uids: list[str], max_length: int) -> RolloutBatch:
    """The rows as the methods take them. padded: ADVANTAGE_COLUMNS, [B, T]; uids: [B]."""
    return RolloutBatch(
        rewards=padded["rm_scores"].sum(-1),
        group_ids=np.array(uids),
        response_mask=padded["response_mask"].bool(),
        old_log_probs=padded["old_log_probs"],
        entropies=padded["entropy"],
        max_length=max_length,
    )


def log_prob_difference(padded: TensorDict) -> float:
    """Mean over tokens of |log p of the rollout engine - log p of the actor|."""
    mask = padded["response_mask"].bool()
    return float((padded["rollout_log_probs"] - padded["old_log_probs"])[mask].abs().mean())


class LensTaskRunner(TaskRunnerV1.__ray_metadata__.modified_class):
    """verl's task runner, which gives the engine `hf` its batched rollout and its queue."""

    def run(self, config: DictConfig) -> None:
        """Extends TaskRunnerV1's, which makes the queue, the trainer and the rollout, and runs."""
        if config.actor_rollout_ref.rollout.name == "hf":
            patches.use_local_queue()
        super().run(config)

    def init_agent_loop_manager(self) -> None:
        """Replaces TaskRunnerV1's on the engine `hf`."""
        if self.config.actor_rollout_ref.rollout.name == "hf":
            self.agent_loop_manager = BatchedRollout(
                self.config, self.trainer.actor_rollout_wg, self.trainer.tokenizer
            )
        else:
            super().init_agent_loop_manager()
