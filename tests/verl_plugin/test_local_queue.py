"""The queue of the trainer's own process answers as verl's TransferQueue, which runs here too."""

import pytest
import torch
from tensordict import NonTensorStack, TensorDict

from lens_impl.verl_plugin.local_queue import LocalQueue

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def transfer_queue():
    """verl's queue with its processes, configured as verl does."""
    import ray
    import transfer_queue
    from hydra import compose, initialize_config_module

    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer").transfer_queue
    ray.init(address="local", num_cpus=16, include_dashboard=False)
    transfer_queue.init(config)
    yield transfer_queue
    transfer_queue.close()
    ray.shutdown()


@pytest.fixture(params=["ours", "verl's"])
def queue(request):
    return LocalQueue() if request.param == "ours" else request.getfixturevalue("transfer_queue")


def nested(*rows: list[int]) -> torch.Tensor:
    return torch.nested.as_nested_tensor([torch.tensor(row) for row in rows], layout=torch.jagged)


def test_a_step(queue):
    """A prompt is announced, its responses come in, more columns are added, all is cleared."""
    queue.kv_batch_put(keys=["p"], partition_id="train", tags=[{"status": "running"}])
    fields = TensorDict({"tokens": nested([1, 2, 3], [4], [5, 6])}, batch_size=3)
    fields["index"] = torch.tensor([7, 8, 9])
    fields["uid"] = NonTensorStack("p", "p", "q")
    keys = ["p_0", "p_1", "p_2"]
    tags = [{"length": length} for length in (3, 1, 2)]
    queue.kv_batch_put(keys=keys, partition_id="train", fields=fields, tags=tags)
    queue.kv_batch_put(keys=["p"], partition_id="train", tags=[{"status": "finished", "n": 3}])
    expected = dict(zip(keys, tags, strict=True)) | {"p": {"status": "finished", "n": 3}}
    assert queue.kv_list()["train"] == queue.kv_list("train")["train"] == expected

    more = TensorDict({"log_probs": nested([30, 10], [20, 40])}, batch_size=2)
    queue.kv_batch_put(keys=["p_2", "p_0"], partition_id="train", fields=more)
    assert queue.kv_list("train")["train"] == expected
    columns = ["tokens", "index", "uid", "log_probs"]
    rows = queue.kv_batch_get(keys=["p_2", "p_0"], partition_id="train", select_fields=columns)
    assert rows.batch_size == (2,)
    assert [row.tolist() for row in rows["tokens"].unbind()] == [[5, 6], [1, 2, 3]]
    assert rows["index"].flatten().tolist() == [9, 7]
    assert rows.get("uid").tolist() == ["q", "p"]
    assert [row.tolist() for row in rows["log_probs"].unbind()] == [[30, 10], [20, 40]]

    queue.kv_clear(keys=["p", "p_0", "p_1"], partition_id="train")
    assert queue.kv_list("train")["train"] == {"p_2": {"length": 2}}
    queue.kv_clear(keys=["p_2"], partition_id="train")
    assert not queue.kv_list().get("train")


def test_what_is_listed_is_a_copy(queue):
    queue.kv_batch_put(keys=["p"], partition_id="other", tags=[{"status": "running"}])
    queue.kv_list("other")["other"]["p"]["status"] = "changed"
    queue.kv_list("other")["other"].clear()
    assert queue.kv_list("other")["other"] == {"p": {"status": "running"}}
    queue.kv_clear(keys=["p"], partition_id="other")
