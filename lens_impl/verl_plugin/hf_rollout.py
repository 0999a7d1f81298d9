"""Rollout engine `hf`: batched Hugging Face generation inside the actor's process.

verl's stock path sends each sample through an agent-loop coroutine to an inference server. Here
one call per rank samples the whole batch (models/sampling_hf.py), rewards come from the one
grader, and the results enter the queue in one put, in the order of the data loader. The order and
the random numbers of a step are then functions of seed, step and problem alone.

Deviations from verl's agent loop: single-turn text only; no inference server, so no request ids,
pre-emption counts or partial rollouts; the queue is one of this process (local_queue.py).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from tensordict import NonTensorStack, TensorDict
from verl.single_controller.base.decorator import Dispatch, register
from verl.utils.device import get_device_name
from verl.workers.engine_workers import ActorRolloutRefWorker
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.llm_server import LLMServerManager
from verl.workers.rollout.replica import RolloutReplica
from verl.workers.rollout.utils import ensure_async_iterator

from lens_impl.identity import stable_hash
from lens_impl.models.prompts import prompt_ids
from lens_impl.models.sampling_hf import Completion, sample
from lens_impl.verl_plugin.reward import compute_scores


@dataclass(frozen=True)
class Sampling:
    """How one batch of completions is drawn."""

    max_new_tokens: int
    temperature: float
    top_p: float


class HFRollout(BaseRollout):
    """A second copy of the policy, in the actor's process, that generates."""

    def __init__(self, config, model_config, device_mesh):
        super().__init__(config, model_config, device_mesh)
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(
            self.model_config.local_path, dtype=torch.float32, attn_implementation="sdpa"
        )
        self.model.eval().to(torch.device(get_device_name()))
        self.tokenizer = self.model_config.tokenizer

    async def resume(self, tags: list[str]) -> None:
        pass

    async def release(self) -> None:
        pass

    async def update_weights(self, weights, wire_format="named_tensors", **kwargs) -> None:
        with torch.no_grad():
            own = self.model.state_dict()
            async for name, tensor in ensure_async_iterator(weights):
                own[name].copy_(tensor)

    def generate(
        self, prompts: list[list[int]], seeds: list[int], sampling: Sampling
    ) -> list[Completion]:
        return sample(
            self.model,
            prompts,
            seeds,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            eos_token_id=self.tokenizer.eos_token_id,
            pad_token_id=self.tokenizer.pad_token_id,
            batch_size=self.config.max_num_seqs,
        )


class HFReplica(RolloutReplica):
    """No server: the trainer calls the workers themselves."""

    async def launch_servers(self) -> None:
        self._server_address = f"hf_{self.replica_rank}"


class HFServerManager(LLMServerManager):
    """verl's manager of inference servers, of which there are none."""

    async def _init_global_load_balancer(self) -> None:
        """Start no load balancer: a process of 0.6 GB with nothing to balance."""


class HFActorRolloutRefWorker(ActorRolloutRefWorker):
    """verl's hybrid worker with one more method, for batched generation."""

    @register(dispatch_mode=Dispatch.DP_COMPUTE)
    def generate(
        self, prompts: list[list[int]], seeds: list[int], sampling: Sampling
    ) -> list[Completion]:
        return self.rollout.generate(prompts, seeds, sampling)


class BatchedRollout:
    """verl's agent-loop manager for the engine `hf` (see TaskRunnerV1.init_agent_loop_manager).

    `seconds` holds the time of the last training step by phase: rollout, reward, queue. Dynamic
    sampling asks for prompts more than once in a step; a prompt that comes again in it gets other
    random numbers.
    """

    def __init__(self, config, worker_group, tokenizer):
        self.config = config
        self.worker_group = worker_group
        self.tokenizer = tokenizer
        self.seconds: dict[str, float] = {}
        self.step, self.call = 0, 0  # the training step, and which of its calls this is

    def generate_sequences(self, batch: TensorDict) -> None:
        """Sample, grade and store rollout.n completions for each prompt of a training step."""
        columns = {key: _as_list(batch[key], len(batch)) for key in batch.keys()}
        problems = [{key: columns[key][i] for key in columns} for i in range(len(batch))]
        step = int(columns["global_steps"][0])
        self.call = self.call + 1 if step == self.step else 0
        self.step = step
        place = ("train", step, self.call) if self.call else ("train", step)
        started = time.perf_counter()
        rows, prompts, completions = self._sample(
            problems, self.config.actor_rollout_ref.rollout, place
        )
        generated = time.perf_counter()
        scores = self._score(rows, completions)
        scored = time.perf_counter()
        self._store(rows, prompts, completions, scores, step)
        seconds = {
            "rollout": generated - started,
            "reward": scored - generated,
            "queue": time.perf_counter() - scored,
        }
        before = self.seconds if self.call else dict.fromkeys(seconds, 0.0)
        self.seconds = {phase: before[phase] + seconds[phase] for phase in seconds}

    def validate(self, problems: list[dict], step: int) -> list[dict]:
        """Scores (see reward.py) of val_kwargs.n completions for each problem."""
        kwargs = self.config.actor_rollout_ref.rollout.val_kwargs
        rows, _, completions = self._sample(problems, kwargs, ("validation", step))
        return self._score(rows, completions)

    def _sample(self, problems: list[dict], kwargs, place: tuple) -> tuple[list, list, list]:
        """(problem, which of its completions this is), prompt and completion of kwargs.n a problem.

        place: what the random numbers are functions of, beside seed, problem and completion.
        """
        rollout = self.config.actor_rollout_ref.rollout
        sampling = Sampling(rollout.response_length, kwargs.temperature, kwargs.top_p)
        rows, prompts, seeds = [], [], []
        for problem in problems:
            prompt = prompt_ids(self.tokenizer, problem["raw_prompt"])
            name = problem["extra_info"]["problem_id"]
            for index in range(kwargs.n):
                rows.append((problem, index))
                prompts.append(prompt)
                seeds.append(stable_hash(rollout.seed, *place, name, index))
        return rows, prompts, self._generate(prompts, seeds, sampling)

    def _generate(self, prompts, seeds, sampling) -> list[Completion]:
        """Deal the requests out over the ranks, as evenly as they go, and collect them again."""
        ranks = self.worker_group.world_size
        shares = [range(rank, len(prompts), ranks) for rank in range(ranks)]
        answers = self.worker_group.generate(
            [[prompts[i] for i in share] for share in shares],
            [[seeds[i] for i in share] for share in shares],
            [sampling] * ranks,
        )
        completions: list[Any] = [None] * len(prompts)
        for share, answer in zip(shares, answers, strict=True):
            completions[share.start :: ranks] = answer
        return completions

    def _score(self, rows, completions) -> list[dict]:
        texts = self.tokenizer.batch_decode(
            [completion.token_ids for completion in completions], skip_special_tokens=True
        )
        return compute_scores([row for row, _ in rows], texts)

    def _store(self, rows, prompts, completions, scores, step) -> None:
        """What the trainer reads of AgentLoopWorkerTQ's fields and tags, and no more of them."""
        keys = [f"{problem['uid']}_{index}_0" for problem, index in rows]
        responses = [completion.token_ids for completion in completions]
        tags = [
            {
                "status": "success",
                "prompt_len": len(prompt),
                "response_len": len(response),
                "seq_len": len(prompt) + len(response),
                "global_steps": step,
                "min_global_steps": step - 1,
                "max_global_steps": step - 1,
            }
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        fields = {
            "index": torch.tensor([int(problem["index"]) for problem, _ in rows]),
            **_columns(prompts, responses),
            "rollout_log_probs": _nested([completion.log_probs for completion in completions]),
            "rm_scores": _nested(
                [
                    [0.0] * (len(response) - 1) + [score["score"]]
                    for response, score in zip(responses, scores, strict=True)
                ]
            ),
        }
        fields = TensorDict(fields, batch_size=len(keys))
        tq.kv_batch_put(keys=keys, partition_id="train", fields=fields, tags=tags)
        uids = list(dict.fromkeys(problem["uid"] for problem, _ in rows))
        tq.kv_batch_put(keys=uids, partition_id="train", tags=[{"status": "finished"}] * len(uids))


def _columns(prompts: list[list[int]], responses: list[list[int]]) -> dict[str, torch.Tensor]:
    """The tokens as verl's actor reads them, each column nested [rows, ragged]."""
    sequences = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    tokens = _nested(responses)
    mask = torch.ones_like(tokens)
    return {
        "prompts": _nested(prompts),
        "responses": tokens,
        "input_ids": _nested(sequences),
        "position_ids": _nested([range(len(sequence)) for sequence in sequences]),
        "response_mask": mask,
        "loss_mask": mask,
    }


def _nested(rows: list[Sequence]) -> torch.Tensor:
    """Rows of numbers as one nested tensor [rows, ragged], without a tensor for each of them."""
    lengths = [len(row) for row in rows]
    return torch.nested.nested_tensor_from_jagged(
        torch.tensor(list(chain.from_iterable(rows))),
        torch.tensor([0, *accumulate(lengths)]),
        min_seqlen=min(lengths),
        max_seqlen=max(lengths),
    )


def _as_list(value: Any, size: int) -> list:
    """A TensorDict entry as one Python value a row."""
    if isinstance(value, torch.Tensor):
        return list(value.unbind(0))
    if isinstance(value, (NonTensorStack, np.ndarray, list)):
        return list(value.tolist() if hasattr(value, "tolist") else value)
    return [value] * size
