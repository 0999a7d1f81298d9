"""From one run's settings to verl's Hydra overrides: the only place that knows both names.

Where verl's default differs from the paper, the comment quotes the paper.
"""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """Absolute paths of one run's inputs and of its checkpoint folder."""

    train: Path
    validation: Path
    model: Path
    checkpoints: Path


def verl_overrides(
    settings: dict, schedule: dict, paths: Paths, resume_step: int | None
) -> list[str]:
    """Hydra overrides for `verl.trainer.main_ppo`'s configuration.

    settings: what decides the trajectory; schedule: how long, how often validated and saved
    (experiments/settings.py), and `gpu`, the memory settings per GPU (`train.gpu` of the
    configuration). resume_step: a checkpoint's step, or None.
    """
    recipe = settings["recipe"]  # the method's entry in config/methods.yaml
    values = {
        **_data(settings, schedule, paths),
        **_actor(settings),
        **_loss(settings),
        **_rollout(settings, schedule),
        **_trainer(settings, schedule, paths, resume_step),
        **(_cpu(settings) if settings["device"] == "cpu" else _cuda(settings, schedule["gpu"])),
        "algorithm.adv_estimator": "grpo",
        # "We do not add any KL regularization following common practices" (section 6).
        "algorithm.use_kl_in_reward": False,
        "+lens.advantage": recipe["advantage"],
        "+lens.options": recipe.get("options", {}),
        "+lens.keep": recipe.get("keep", "all"),
        **_dynamic_sampling(recipe),
        "+lens.dump_every": schedule["dump_every"],
    }
    return [f"{key}={_hydra(value)}" for key, value in values.items()]


def _data(settings: dict, schedule: dict, paths: Paths) -> dict:
    return {
        "data.train_files": paths.train,
        "data.val_files": paths.validation,
        # "The maximum number of off-policy updates [is] 4; in VeRL, this is implemented by using a
        # training batch size as 128 (4 x 32)" (D.1).
        "data.train_batch_size": settings["prompts_per_rollout"],
        "data.val_batch_size": None,
        "data.val_max_samples": schedule["validation"]["problems"] or -1,
        "data.max_prompt_length": settings["max_prompt_tokens"],
        "data.max_response_length": settings["max_response_tokens"],
        "data.dataloader_num_workers": 0,
        "data.shuffle": True,
        "data.seed": settings["seed"],
    }


def _actor(settings: dict) -> dict:
    actor = "actor_rollout_ref.actor"
    return {
        f"{actor}.strategy": "fsdp2",
        # "Each gradient update uses a global batch of 512 trajectories (32 questions x 16)" (6).
        f"{actor}.ppo_mini_batch_size": settings["prompts_per_update"],
        f"{actor}.ppo_epochs": 1,
        f"{actor}.optim.lr": settings["learning_rate"],
        f"{actor}.use_kl_loss": False,
        f"{actor}.entropy_coeff": 0,
        f"{actor}.data_loader_seed": settings["seed"],
        f"{actor}.checkpoint.save_contents": ["model", "optimizer", "extra", "hf_model"],
        f"{actor}.checkpoint.load_contents": ["model", "optimizer", "extra"],
        f"{actor}.fsdp_config.seed": settings["seed"],
    }


def _loss(settings: dict) -> dict:
    """Clipping and aggregation: the paper's, or what the method says."""
    actor, recipe = "actor_rollout_ref.actor", settings["recipe"]
    # Equation 3: mean over responses of the mean over tokens; verl's default is token-mean.
    loss = recipe.get("loss", "seq-mean-token-mean")
    # Dr. GRPO divides the sum over tokens by a constant; verl's default is the width of the batch.
    constant = settings["max_response_tokens"] if loss == "seq-mean-token-sum-norm" else None
    return {
        # "We use a clipping ratio of 0.2 for all the models" (D.1).
        f"{actor}.clip_ratio": settings["clip_ratio"],
        f"{actor}.clip_ratio_low": recipe.get("clip_low", settings["clip_ratio"]),
        f"{actor}.clip_ratio_high": recipe.get("clip_high", settings["clip_ratio"]),
        # verl's dual clip is always on at 3.0; equation 3 has none.
        f"{actor}.clip_ratio_c": 1.0e9,
        f"{actor}.loss_agg_mode": loss,
        f"{actor}.loss_scale_factor": constant,
    }


def _dynamic_sampling(recipe: dict) -> dict:
    """verl's own filter of groups with equal rewards, for a method that asks for it."""
    if "filter_groups" not in recipe:
        return {"algorithm.filter_groups.enable": False}
    limit = recipe["filter_groups"]["max_num_gen_batches"]
    return {
        "algorithm.filter_groups.enable": True,
        "algorithm.filter_groups.metric": "reward",
        "algorithm.filter_groups.max_num_gen_batches": limit,
    }


def _rollout(settings: dict, schedule: dict) -> dict:
    rollout = "actor_rollout_ref.rollout"
    return {
        f"{rollout}.name": settings["engine"],
        f"{rollout}.n": settings["group_size"],
        f"{rollout}.seed": settings["seed"],
        # "We set temperature and top-p to 1.0 during both training and evaluation" (D.1).
        f"{rollout}.temperature": settings["temperature"],
        f"{rollout}.top_p": settings["top_p"],
        f"{rollout}.calculate_log_probs": True,
        f"{rollout}.val_kwargs.n": schedule["validation"]["n"],
        f"{rollout}.val_kwargs.do_sample": True,
        f"{rollout}.val_kwargs.temperature": settings["temperature"],
        f"{rollout}.val_kwargs.top_p": settings["top_p"],
    }


def _trainer(settings: dict, schedule: dict, paths: Paths, resume_step: int | None) -> dict:
    resume: dict[str, object] = {"trainer.resume_mode": "disable"}
    if resume_step is not None:
        resume = {
            "trainer.resume_mode": "resume_path",
            "trainer.resume_from_path": paths.checkpoints / f"global_step_{resume_step}",
        }
    return {
        "actor_rollout_ref.model.path": paths.model,
        "trainer.v1.trainer_mode": "lens",
        "trainer.n_gpus_per_node": settings.get("gpus_per_node", 1),
        "trainer.nnodes": settings.get("nodes", 1),
        "trainer.logger": ["console"],
        "trainer.project_name": "lens",
        "trainer.experiment_name": "lens",
        "trainer.default_local_dir": paths.checkpoints,
        "trainer.total_training_steps": schedule["steps"],
        # The number of steps decides the end, not the number of epochs.
        "trainer.total_epochs": 1_000_000,
        "trainer.save_freq": schedule["checkpoint_every"],
        "trainer.test_freq": schedule["validate_every"],
        "trainer.val_before_train": True,
        **resume,
    }


def _cpu(settings: dict) -> dict:
    """The CPU platform: float32, no fused or compiled kernels, few processes."""
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    ranks = settings.get("nodes", 1) * settings.get("gpus_per_node", 1)
    rows = settings["prompts_per_update"] * settings["group_size"] // ranks
    return {
        "trainer.device": "cpu",
        "actor_rollout_ref.model.use_remove_padding": False,
        "actor_rollout_ref.model.enable_gradient_checkpointing": False,
        "+actor_rollout_ref.model.override_config.attn_implementation": "sdpa",
        f"{actor}.ppo_micro_batch_size_per_gpu": rows,
        f"{actor}.use_torch_compile": False,
        f"{actor}.fsdp_config.use_torch_compile": False,
        f"{actor}.fsdp_config.dtype": "float32",
        f"+{actor}.fsdp_config.mixed_precision.param_dtype": "fp32",
        f"{rollout}.dtype": "float32",
        f"{rollout}.tensor_model_parallel_size": 1,
        f"{rollout}.log_prob_micro_batch_size_per_gpu": rows,
        f"{rollout}.free_cache_engine": False,
        f"{rollout}.load_format": "auto",
        f"{rollout}.max_num_seqs": 512,
        # The engine `hf` grades in the trainer's process.
        "reward.num_workers": 0,
        **(_vllm_cpu(settings) if settings["engine"] == "vllm" else {}),
    }


def _vllm_cpu(settings: dict) -> dict:
    """vLLM's CPU build, for tests of the engine: small, and one process of each kind."""
    rollout = "actor_rollout_ref.rollout"
    longest = settings["max_prompt_tokens"] + settings["max_response_tokens"]
    engine = f"+{rollout}.engine_kwargs.vllm"
    return {
        f"{rollout}.max_model_len": longest,
        f"{rollout}.enforce_eager": True,
        # Sleeping frees an accelerator's memory; vLLM refuses it on a CPU.
        f"+{rollout}.enable_sleep_mode": False,
        f"{engine}.kv_cache_memory_bytes": 2**30,
        f"{engine}.worker_extension_cls": "lens_impl.verl_plugin.vllm_cpu.WorkerExtension",
        # Shared memory: verl's default of 2 GB is for models of billions of parameters.
        f"{rollout}.checkpoint_engine.update_weights_bucket_megabytes": 64,
        f"{rollout}.agent.num_workers": 1,
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
        **_reward_worker(),
        "reward.num_workers": 1,
    }


def _reward_worker() -> dict:
    """The one grader, for verl's reward workers."""
    return {
        "reward.custom_reward_function.path": Path(__file__).with_name("reward.py"),
        "reward.custom_reward_function.name": "compute_score",
    }


def _cuda(settings: dict, gpu: dict) -> dict:
    """FSDP2 in bf16 over float32 weights, and sequences packed up to a budget of tokens.

    In bf16 weights an update of 1e-6 would be below the resolution.
    """
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    longest = settings["max_prompt_tokens"] + settings["max_response_tokens"]
    # verl refuses a budget below one sequence.
    tokens = max(gpu["tokens_per_gpu"], longest)
    return {
        "trainer.device": "cuda",
        "actor_rollout_ref.model.use_remove_padding": True,
        "actor_rollout_ref.model.enable_gradient_checkpointing": True,
        "+actor_rollout_ref.model.override_config.attn_implementation": gpu["attention"],
        f"{actor}.use_dynamic_bsz": True,
        f"{actor}.ppo_max_token_len_per_gpu": tokens,
        f"{actor}.fsdp_config.model_dtype": "fp32",
        f"{actor}.fsdp_config.dtype": "bfloat16",
        f"{actor}.fsdp_config.param_offload": gpu["offload"],
        f"{actor}.fsdp_config.optimizer_offload": gpu["offload"],
        # Logits of 128,256 tokens in float32 are the largest tensor of an 8B model's pass.
        f"{actor}.fsdp_config.entropy_from_logits_with_chunking": True,
        f"{rollout}.dtype": "bfloat16",
        f"{rollout}.tensor_model_parallel_size": gpu["tensor_parallel"],
        f"{rollout}.gpu_memory_utilization": gpu["vllm_memory"],
        f"{rollout}.max_model_len": longest,
        f"{rollout}.max_num_batched_tokens": max(8192, longest),
        f"{rollout}.log_prob_use_dynamic_bsz": True,
        f"{rollout}.log_prob_max_token_len_per_gpu": 2 * tokens,
        f"{rollout}.free_cache_engine": True,
        f"{rollout}.load_format": "auto",
        **_reward_worker(),
        # The engine `hf` grades in the trainer's process.
        **({"reward.num_workers": 0} if settings["engine"] == "hf" else {}),
    }


def _hydra(value: object) -> str:
    """A value in Hydra's override grammar."""
    if isinstance(value, Path):
        value = str(value)
    if value is None:
        return "null"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list):
        return "[" + ",".join(_hydra(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_hydra(item)}" for key, item in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
