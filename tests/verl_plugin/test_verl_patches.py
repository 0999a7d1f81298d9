"""Each patch of verl is still needed and still fits; with verl's real modules.

verl chooses its platform once per process and a patch stays for the life of one, so each test has
an interpreter of its own.
"""

import inspect

import pytest
from support.fresh_interpreter import fresh_interpreter

pytestmark = pytest.mark.slow
NO_PLUGINS = {"VERL_USE_EXTERNAL_PLUGINS": "none"}
OUR_PLUGIN = {**NO_PLUGINS, "VERL_USE_EXTERNAL_MODULES": "lens_impl.verl_plugin.register"}


@fresh_interpreter(**NO_PLUGINS)
def test_verl_has_no_platform_for_the_cpu():
    from verl.plugin.platform.platform_manager import PlatformRegistry

    assert PlatformRegistry.get("cpu") is None


@fresh_interpreter(**NO_PLUGINS)
def test_torch_cpu_lacks_the_memory_api():
    import torch
    import verl.workers.engine_workers as engine_workers

    from lens_impl.verl_plugin import patches

    assert "max_memory_allocated()" in inspect.getsource(engine_workers)
    assert not hasattr(torch.cpu, "max_memory_allocated")
    patches.give_torch_cpu_the_memory_api()
    assert torch.cpu.max_memory_allocated() == 0


@fresh_interpreter(**NO_PLUGINS)
def test_verl_joins_gloo_with_the_backend_of_the_device():
    import verl.utils.distributed as distributed

    from lens_impl.verl_plugin import patches

    start = distributed.initialize_global_process_group_ray
    assert "cpu:gloo" in inspect.getsource(start)
    assert "backend" in inspect.signature(start).parameters
    patches.use_gloo_once()
    patches.use_gloo_once()
    patched = distributed.initialize_global_process_group_ray
    assert patched.func is start and patched.keywords == {"backend": "gloo"}


@fresh_interpreter(**NO_PLUGINS)
def test_verl_pins_offloaded_memory():
    import verl.workers.engine.fsdp.transformer_impl as fsdp

    from lens_impl.verl_plugin import patches

    assert "CPUOffloadPolicy(pin_memory=True)" in inspect.getsource(fsdp)
    patches.offload_without_pinned_memory()
    assert fsdp.CPUOffloadPolicy(pin_memory=True) is None


@fresh_interpreter(**NO_PLUGINS)
def test_verl_loops_over_rows_for_log_probs():
    import torch
    import verl.utils.torch_functional as functional

    from lens_impl.verl_plugin import patches

    looped = functional.logprobs_from_logits_v2
    assert "for logit in logits" in inspect.getsource(looped)
    patches.log_probs_in_one_call()
    logits, labels = torch.randn(50, 7), torch.randint(0, 7, (50,))
    ours = functional.logprobs_from_logits_v2(logits, labels)
    assert (ours - looped(logits, labels)).abs().max() < 1e-6


@fresh_interpreter(**NO_PLUGINS)
def test_verl_takes_nested_tensors_apart_row_by_row():
    import torch
    import verl.utils.tensordict_utils as tensordict_utils
    from tensordict import NonTensorData, TensorDict

    from lens_impl.verl_plugin import patches

    for function in ("index_select_tensor_dict", "chunk_tensordict"):
        assert "unbind" in inspect.getsource(getattr(tensordict_utils, function)), function
    rows = [torch.randn(length) for length in (3, 1, 5, 2)]
    batch = TensorDict(
        {
            "ragged": torch.nested.as_nested_tensor(rows, layout=torch.jagged),
            "plain": torch.arange(4),
            "setting": NonTensorData("x"),
        },
        batch_size=4,
    )

    def parts() -> list[TensorDict]:
        return [
            tensordict_utils.index_select_tensor_dict(batch, [2, 0, 2]),
            *tensordict_utils.chunk_tensordict(batch, 1),
            *tensordict_utils.chunk_tensordict(batch, 2),
        ]

    theirs = parts()
    patches.select_rows_of_nested_tensors_at_once()
    ours = parts()
    assert [len(part) for part in ours] == [3, 4, 2, 2]
    for one, other in zip(ours, theirs, strict=True):
        assert one.batch_size == other.batch_size and one["setting"] == other["setting"] == "x"
        assert one["plain"].tolist() == other["plain"].tolist()
        assert [r.tolist() for r in one["ragged"]] == [r.tolist() for r in other["ragged"]]
        padded = one.select("ragged").to_padded_tensor()["ragged"]
        assert torch.equal(padded, other.select("ragged").to_padded_tensor()["ragged"])
    with pytest.raises(RuntimeError):  # a batch of 4 in 3 parts
        tensordict_utils.chunk_tensordict(batch, 3)


@fresh_interpreter(**NO_PLUGINS)
def test_verl_asks_every_qwen2_for_chatml():
    from verl.utils.tokenizer import continuous_token_wiring

    from lens_impl.models.prompts import prompt_ids
    from lens_impl.models.toy import make_tokenizer
    from lens_impl.verl_plugin import patches

    build = continuous_token_wiring.create_continuous_token_builder
    tokenizer = make_tokenizer()
    with pytest.raises(ValueError, match=r"<\|im_end\|>"):
        build(tokenizer, hf_model_type="qwen2")
    patches.build_prompts_without_chatml()
    messages = [{"role": "user", "content": "1+1"}]
    ids = build(tokenizer, hf_model_type="qwen2").build_initial_tokens(messages)
    assert ids == prompt_ids(tokenizer, messages)


@fresh_interpreter(**NO_PLUGINS)
def test_verl_names_its_queue_without_a_choice():
    import transfer_queue
    from verl.trainer import main_ppo

    from lens_impl.verl_plugin import patches
    from lens_impl.verl_plugin.local_queue import LocalQueue

    source = inspect.getsource(main_ppo.TaskRunnerV1.__ray_metadata__.modified_class.run)
    assert "import transfer_queue as tq" in source and "tq.init(config.transfer_queue)" in source
    patches.use_local_queue()
    assert isinstance(transfer_queue.init.__self__, LocalQueue)
    assert transfer_queue.kv_list("none") == {"none": {}}


@fresh_interpreter(VERL_PLATFORM="cpu", **OUR_PLUGIN)
def test_on_a_cpu_all_patches_are_made_and_our_rollout_is_registered():
    import torch
    import verl.utils.distributed as distributed
    import verl.utils.tensordict_utils as tensordict_utils
    import verl.utils.torch_functional as functional
    import verl.workers.engine.fsdp.transformer_impl as fsdp
    from verl.plugin.platform import get_platform
    from verl.workers.rollout.base import get_rollout_class
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    from lens_impl.verl_plugin import nested
    from lens_impl.verl_plugin.hf_rollout import HFReplica, HFRollout

    assert get_platform().device_name == "cpu"
    assert torch.cpu.max_memory_allocated() == 0
    assert distributed.initialize_global_process_group_ray.keywords == {"backend": "gloo"}
    assert fsdp.CPUOffloadPolicy(pin_memory=True) is None
    assert functional.logprobs_from_logits_v2 is functional.logprobs_from_logits_naive
    assert tensordict_utils.index_select_tensor_dict is nested.select_rows
    assert tensordict_utils.chunk_tensordict is nested.chunk
    assert get_rollout_class("hf", "async") is HFRollout
    assert RolloutReplicaRegistry.get("hf") is HFReplica


@fresh_interpreter(VERL_PLATFORM="nvidia", **OUR_PLUGIN)
def test_on_a_gpu_no_patch_for_the_cpu_is_made():
    import torch
    import verl.utils.tensordict_utils as tensordict_utils
    import verl.utils.torch_functional as functional
    from verl.plugin.platform.platform_manager import PlatformRegistry
    from verl.workers.rollout.base import _ROLLOUT_REGISTRY

    assert PlatformRegistry.get("cpu") is None
    assert not hasattr(torch.cpu, "max_memory_allocated")
    assert functional.logprobs_from_logits_v2 is not functional.logprobs_from_logits_naive
    for function in ("index_select_tensor_dict", "chunk_tensordict"):
        module = getattr(tensordict_utils, function).__module__
        assert module == tensordict_utils.__name__
    assert ("hf", "async") in _ROLLOUT_REGISTRY and ("vllm", "async") in _ROLLOUT_REGISTRY
