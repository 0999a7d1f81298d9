"""Each patch of verl is still needed and still fits; run with verl's real modules."""

import inspect
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess:
    """A fresh interpreter, since verl's platform is chosen once a process."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "VERL_USE_EXTERNAL_PLUGINS": "none", **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )


UNPATCHED = """
import torch, inspect
import verl.utils.distributed as distributed
import verl.utils.torch_functional as functional
import verl.workers.engine.fsdp.transformer_impl as fsdp
from verl.plugin.platform.platform_manager import PlatformRegistry
assert PlatformRegistry.get("cpu") is None, "verl has a CPU platform of its own now"
assert not hasattr(torch.cpu, "max_memory_allocated"), "torch.cpu has the memory API now"
parameters = inspect.signature(distributed.initialize_global_process_group_ray).parameters
assert "backend" in parameters
source = inspect.getsource(distributed.initialize_global_process_group_ray)
assert 'cpu:gloo' in source, "verl no longer joins gloo with the device's backend"
assert "CPUOffloadPolicy(pin_memory=True)" in inspect.getsource(fsdp), "memory is no longer pinned"
source = inspect.getsource(functional.logprobs_from_logits_v2)
assert "for logit in logits" in source, "logprobs_from_logits_v2 no longer loops over rows"
logits, labels = torch.randn(50, 7), torch.randint(0, 7, (50,))
looped = functional.logprobs_from_logits_v2(logits, labels)
naive = functional.logprobs_from_logits_naive(logits, labels)
assert (looped - naive).abs().max() < 1e-6
import verl.utils.tensordict_utils as tensordict_utils
from tensordict import NonTensorData, TensorDict
from lens_impl.verl_plugin import patches
rows = torch.nested.as_nested_tensor([torch.randn(n) for n in (3, 1, 5, 2)], layout=torch.jagged)
batch = TensorDict(
    {"ragged": rows, "plain": torch.arange(4), "setting": NonTensorData("x")}, batch_size=4
)
theirs = tensordict_utils.index_select_tensor_dict(batch, [2, 0, 2])
their_chunks = {n: tensordict_utils.chunk_tensordict(batch, n) for n in (1, 2)}
for function in ("index_select_tensor_dict", "chunk_tensordict"):
    assert "unbind" in inspect.getsource(getattr(tensordict_utils, function)), function
patches.select_rows_of_nested_tensors_at_once()
ours = tensordict_utils.index_select_tensor_dict(batch, [2, 0, 2])
pairs = [(ours, theirs)]
for n, chunks in their_chunks.items():
    pairs += zip(tensordict_utils.chunk_tensordict(batch, n), chunks, strict=True)
for one, other in pairs:
    assert one.batch_size == other.batch_size and one["setting"] == other["setting"] == "x"
    assert one["plain"].tolist() == other["plain"].tolist()
    assert [r.tolist() for r in one["ragged"]] == [r.tolist() for r in other["ragged"]]
    padded = one.select("ragged").to_padded_tensor()["ragged"]
    assert torch.equal(padded, other.select("ragged").to_padded_tensor()["ragged"])
assert [len(half) for half in tensordict_utils.chunk_tensordict(batch, 2)] == [2, 2]
try:
    tensordict_utils.chunk_tensordict(batch, 3)
except RuntimeError:
    pass
else:
    raise AssertionError("a batch of 4 in 3 parts")
from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder as builder
from lens_impl.models.toy import make_tokenizer
from lens_impl.models.prompts import prompt_ids
tokenizer = make_tokenizer()
messages = [{"role": "user", "content": "1+1"}]
try:
    builder(tokenizer, hf_model_type="qwen2")
except ValueError as error:
    assert "<|im_end|>" in str(error)
else:
    raise AssertionError("verl no longer asks a Qwen2 for <|im_end|>")
from verl.trainer import main_ppo
source = inspect.getsource(main_ppo.TaskRunnerV1.__ray_metadata__.modified_class.run)
assert "import transfer_queue as tq" in source and "tq.init(config.transfer_queue)" in source
patches.build_prompts_without_chatml()
ids = builder(tokenizer, hf_model_type="qwen2").build_initial_tokens(messages)
assert ids == prompt_ids(tokenizer, messages)
"""

PATCHED = """
import torch
import verl
import verl.utils.distributed as distributed
import verl.utils.torch_functional as functional
import verl.workers.engine.fsdp.transformer_impl as fsdp
from verl.plugin.platform import get_platform
assert get_platform().device_name == "cpu"
assert torch.cpu.max_memory_allocated() == 0
assert distributed.initialize_global_process_group_ray.keywords == {"backend": "gloo"}
assert fsdp.CPUOffloadPolicy(pin_memory=True) is None
assert functional.logprobs_from_logits_v2 is functional.logprobs_from_logits_naive
import verl.utils.tensordict_utils as tensordict_utils
from lens_impl.verl_plugin import nested
assert tensordict_utils.index_select_tensor_dict is nested.select_rows
from verl.workers.rollout.base import get_rollout_class
from verl.workers.rollout.replica import RolloutReplicaRegistry
from lens_impl.verl_plugin.hf_rollout import HFReplica, HFRollout
assert get_rollout_class("hf", "async") is HFRollout
assert RolloutReplicaRegistry.get("hf") is HFReplica
"""

CUDA = """
import verl, torch
import verl.utils.torch_functional as functional
from verl.plugin.platform.platform_manager import PlatformRegistry
from verl.workers.rollout.base import _ROLLOUT_REGISTRY
assert PlatformRegistry.get("cpu") is None
assert not hasattr(torch.cpu, "max_memory_allocated")
assert functional.logprobs_from_logits_v2 is not functional.logprobs_from_logits_naive
import verl.utils.tensordict_utils as tensordict_utils
assert tensordict_utils.index_select_tensor_dict.__module__ == tensordict_utils.__name__
assert ("hf", "async") in _ROLLOUT_REGISTRY and ("vllm", "async") in _ROLLOUT_REGISTRY
"""


@pytest.mark.parametrize(
    ("code", "environment"),
    [
        (UNPATCHED, {}),
        (PATCHED, {"VERL_PLATFORM": "cpu"}),
        (CUDA, {"VERL_PLATFORM": "nvidia"}),
    ],
    ids=["each patch is needed", "each patch fits", "no patch on CUDA"],
)
def test_patches(code, environment):
    if environment:
        environment = {**environment, "VERL_USE_EXTERNAL_MODULES": "lens_impl.verl_plugin.register"}
    result = run_python(inspect.cleandoc(code), **environment)
    assert result.returncode == 0, result.stderr[-3000:]
