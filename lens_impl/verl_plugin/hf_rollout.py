"""Rollout engine `hf`: batched Hugging Face generation inside the actor's process.

verl's stock path sends each sample through an agent-loop coroutine to an inference server. Here
one call per rank samples the whole batch (models/sampling_hf.py), rewards come from the one
grader, and the results enter the queue in one put, in the order of the data loader. The order and
the random numbers of a step are then functions of seed, step and problem alone.

Deviations from verl's agent loop: single-turn text only; no inference server, so no request ids,
pre-emption counts or partial rollouts; the queue is one of this process (local_queue.py).
"""

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from omegaconf import DictConfig
from tensordict import NonTensorStack, TensorDict
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from verl.single_controller.base.decorator import Dispatch, register
from verl.single_controller.ray import RayWorkerGroup
from verl.utils.device import get_device_name
from verl.workers.config import HFModelConfig, RolloutConfig
from verl.workers.engine_workers import ActorRolloutRefWorker
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.llm_server import LLMServerManager
from verl.workers.rollout.replica import RolloutReplica
from verl.workers.rollout.utils import ensure_async_iterator

from lens_impl.identity import stable_hash
from lens_impl.models.prompts import prompt_ids
from lens_impl.models.sampling_hf import Completion, sample
from lens_impl.verl_plugin.nested import jagged
from lens_impl.verl_plugin.reward import compute_scores


@dataclass(frozen=True)
class Sampling:
    """How one batch of completions is drawn."""

    max_new_tokens: int
    temperature: float
    top_p: float


class HFRollout(BaseRollout):
    """A second copy of the policy, in the actor's process, that generates."""

    def __init__(
        self, config: RolloutConfig, model_config: HFModelConfig, device_mesh: DeviceMesh
    ) -> None:
        super().__init__(config, model_config, device_mesh)
        self.model = AutoModelForCausalLM.from_pretrained(
            self.model_config.local_path, dtype=torch.float32, attn_implementation="sdpa"
        )
        self.model.eval().to(torch.device(get_device_name()))
        self.tokenizer = self.model_config.tokenizer

    async def resume(self, tags: list[str]) -> None:
        """Replaces verl's: this copy never leaves memory."""

    async def release(self) -> None:
        """Replaces verl's: this copy never leaves memory."""

    async def update_weights(
        self,
        weights: Iterable[tuple[str, Tensor]] | AsyncIterator[tuple[str, Tensor]],
        wire_format: str = "named_tensors",
        **kwargs: object,
    ) -> None:
        """Replaces verl's: copy the actor's weights, full tensors by name, into this copy."""
        with torch.no_grad():
            own = self.model.state_dict()
            async for name, tensor in ensure_async_iterator(weights):
                own[name].copy_(tensor)

    def generate(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], sampling: Sampling
    ) -> list[Completion]:
        """One completion per prompt and seed; called by HFActorRolloutRefWorker."""
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
    """verl's handle of an inference server, of which there is none: the trainer calls workers."""

    async def launch_servers(self) -> None:
        """Replaces verl's: only the address that verl reads afterwards."""
        self._server_address = f"hf_{self.replica_rank}"


class HFServerManager(LLMServerManager):
    """verl's manager of inference servers, of which there are none."""

    async def _init_global_load_balancer(self) -> None:
        """Replaces verl's, which starts a process of 0.6 GB that would have nothing to balance."""


class HFActorRolloutRefWorker(ActorRolloutRefWorker):
    """verl's hybrid worker with one more method, for batched generation."""

    @register(dispatch_mode=Dispatch.DP_COMPUTE)
    def generate(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], sampling: Sampling
    ) -> list[Completion]:
        """One completion per prompt and seed, by this rank's copy of the policy."""
        return self.rollout.generate(prompts, seeds, sampling)


@dataclass(frozen=True)
class Request:
    """One completion that is wanted: `sample` numbers those of one problem from 0."""

    problem: dict[str, Any]
    sample: int
    prompt: list[int]
    seed: int


class BatchedRollout:
    """verl's agent-loop manager for the engine `hf` (see TaskRunnerV1.init_agent_loop_manager).

    `seconds` are those of the current training step by phase: rollout, reward, queue. Dynamic
    sampling asks for prompts more than once per step; a prompt that comes again in the same step
    gets other random numbers.
    """

    def __init__(
        self,
        config: DictConfig,
        worker_group: RayWorkerGroup,
        tokenizer: PreTrainedTokenizerBase,
    ) -> None:
        self.config = config
        self.worker_group = worker_group
        self.tokenizer = tokenizer
        self.seconds: dict[str, float] = {}
        self.step, self.call = 0, 0  # the training step, and which of its calls this is

    def generate_sequences(self, batch: TensorDict) -> None:
        """Replaces AgentLoopManagerTQ's: sample, grade and store rollout.n completions per prompt.

        batch: the data loader's columns [P], with uid and global_steps.
        """
        columns = {key: _as_list(batch[key], len(batch)) for key in batch.keys()}
        problems = [{key: columns[key][i] for key in columns} for i in range(len(batch))]
        step = int(columns["global_steps"][0])
        self.call = self.call + 1 if step == self.step else 0
        self.step = step
        stream = ("train", step, self.call) if self.call else ("train", step)
        started = time.perf_counter()
        requests = self._requests(problems, self.config.actor_rollout_ref.rollout.n, stream)
        completions = self._generate(requests, self.config.actor_rollout_ref.rollout)
        generated = time.perf_counter()
        scores = self._score(requests, completions)
        scored = time.perf_counter()
        store(requests, completions, [score["score"] for score in scores], step)
        seconds = {
            "rollout": generated - started,
            "reward": scored - generated,
            "queue": time.perf_counter() - scored,
        }
        before = self.seconds if self.call else dict.fromkeys(seconds, 0.0)
        self.seconds = {phase: before[phase] + seconds[phase] for phase in seconds}

    def validate(self, problems: list[dict[str, Any]], step: int) -> list[dict[str, Any]]:
        """Scores (see reward.py) of val_kwargs.n completions per problem, in order."""
        settings = self.config.actor_rollout_ref.rollout.val_kwargs
        requests = self._requests(problems, settings.n, ("validation", step))
        return self._score(requests, self._generate(requests, settings))

    def _requests(
        self, problems: list[dict[str, Any]], n: int, stream: tuple[object, ...]
    ) -> list[Request]:
        """n requests per problem. Random numbers depend on seed, stream, problem and sample."""
        seed = self.config.actor_rollout_ref.rollout.seed
        requests = []
        for problem in problems:
            prompt = prompt_ids(self.tokenizer, problem["raw_prompt"])
            name = problem["extra_info"]["problem_id"]
            requests += [
                Request(problem, i, prompt, stable_hash(seed, *stream, name, i)) for i in range(n)
            ]
        return requests

    def _generate(self, requests: list[Request], settings: DictConfig) -> list[Completion]:
        """Deal the requests out over the ranks, as evenly as possible, and collect the answers.

        settings: temperature and top_p, of training or of validation.
        """
        ranks = self.worker_group.world_size
        length = self.config.actor_rollout_ref.rollout.response_length
        sampling = Sampling(length, settings.temperature, settings.top_p)
        shares = [requests[rank::ranks] for rank in range(ranks)]
        answers = self.worker_group.generate(
            [[request.prompt for request in share] for share in shares],
            [[request.seed for request in share] for share in shares],
            [sampling] * ranks,
        )
        return [answers[i % ranks][i // ranks] for i in range(len(requests))]

    def _score(
        self, requests: list[Request], completions: list[Completion]
    ) -> list[dict[str, Any]]:
        texts = self.tokenizer.batch_decode(
            [completion.token_ids for completion in completions], skip_special_tokens=True
        )
        return compute_scores([request.problem for request in requests], texts)


def store(
    requests: list[Request], completions: list[Completion], rewards: list[float], step: int
) -> None:
    """Put a step's rows into the queue, as AgentLoopWorkerTQ does; only what the trainer reads."""
    uids = [request.problem["uid"] for request in requests]
    # verl's replay buffer finds a prompt's rows by the part of the key before the first "_".
    keys = [f"{uid}_{request.sample}_0" for uid, request in zip(uids, requests, strict=True)]
    prompts = [request.prompt for request in requests]
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
    last_token_rewards = [
        [0.0] * (len(response) - 1) + [reward]
        for response, reward in zip(responses, rewards, strict=True)
    ]
    columns = {
        "uid": NonTensorStack(*uids),
        "index": torch.tensor([int(request.problem["index"]) for request in requests]),
        **token_columns(prompts, responses),
        "rollout_log_probs": jagged([completion.log_probs for completion in completions]),
        "rm_scores": jagged(last_token_rewards),
    }
    fields = TensorDict(columns, batch_size=len(keys))
    tq.kv_batch_put(keys=keys, partition_id="train", fields=fields, tags=tags)
    prompt_keys = list(dict.fromkeys(uids))
    finished = [{"status": "finished"}] * len(prompt_keys)
    tq.kv_batch_put(keys=prompt_keys, partition_id="train", tags=finished)


def token_columns(prompts: list[list[int]], responses: list[list[int]]) -> dict[str, Tensor]:
    """The tokens as verl's actor reads them, each column [B, ragged]."""
    sequences = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    tokens = jagged(responses)
    mask = torch.ones_like(tokens)
    return {
        "prompts": jagged(prompts),
        "responses": tokens,
        "input_ids": jagged(sequences),
        "position_ids": jagged([range(len(sequence)) for sequence in sequences]),
        "response_mask": mask,
        "loss_mask": mask,
    }


def _as_list(value: object, size: int) -> list[Any]:
    """A TensorDict entry as one Python value per row."""
    if isinstance(value, Tensor):
        return list(value.unbind(0))
    if isinstance(value, (NonTensorStack, np.ndarray, list)):
        return list(value.tolist() if hasattr(value, "tolist") else value)
    return [value] * size
