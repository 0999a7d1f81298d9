"""The generated overrides, composed by verl's own Hydra configuration (no verl import).

golden/verl_overrides.yaml shows what every scale and method changes of verl's defaults;
`PYTHONPATH=tests python tests/verl_plugin/test_overrides.py` writes it again.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from support.verl_config import PATHS, composed, of_scale, one_a_method, resolved

from lens_impl.experiments.configuration import load, scales
from lens_impl.experiments.runs import Run
from lens_impl.experiments.settings import training_schedule, training_settings
from lens_impl.files import ROOT
from lens_impl.verl_plugin.overrides import verl_overrides

GOLDEN = Path(__file__).parent / "golden" / "verl_overrides.yaml"


@pytest.mark.parametrize("scale", scales(ROOT))
def test_every_method_composes_with_its_batch_arithmetic(scale):
    for settings, schedule in one_a_method(scale).values():
        config = resolved(settings, schedule)
        actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
        assert config.data.train_batch_size % actor.ppo_mini_batch_size == 0
        assert rollout.n == settings["group_size"]
        assert config.lens.advantage == settings["recipe"]["advantage"]
        options = OmegaConf.to_container(config.lens.options)
        assert options == settings["recipe"].get("options", {})
        assert config.data.seed == rollout.seed == actor.data_loader_seed == settings["seed"]
        assert config.trainer.total_training_steps == schedule["steps"]
        assert config.data.train_files == "/a b/train.parquet"


@pytest.mark.parametrize("scale", ["paper", "tiny"])
def test_the_papers_loss_and_not_verls_defaults(scale):
    settings, schedule = of_scale(scale)[0]
    config = resolved(settings, schedule)
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    assert actor.loss_agg_mode == "seq-mean-token-mean"
    assert actor.clip_ratio == actor.clip_ratio_low == actor.clip_ratio_high == 0.2
    assert actor.clip_ratio_c > 1e6
    assert not actor.use_kl_loss and not config.algorithm.use_kl_in_reward
    assert rollout.temperature == rollout.top_p == 1.0
    assert rollout.val_kwargs.temperature == rollout.val_kwargs.top_p == 1.0
    assert rollout.val_kwargs.do_sample and rollout.val_kwargs.n == 16
    assert actor.ppo_epochs == 1
    assert config.data.train_batch_size // actor.ppo_mini_batch_size == 4


def test_the_papers_batch():
    """ "a training batch size as 128 (4 x 32)", "32 questions x 16 samples" """
    one_a_model = {settings["model"]: (settings, s) for settings, s in reversed(of_scale("paper"))}
    for settings, schedule in one_a_model.values():
        config = resolved(settings, schedule)
        actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
        assert (config.data.train_batch_size, actor.ppo_mini_batch_size, rollout.n) == (128, 32, 16)
        assert config.data.max_response_length == 4096
        assert actor.optim.lr == (3e-7 if "llama" in settings["model"] else 1e-6)
        assert config.data.train_batch_size * rollout.n % config.trainer.n_gpus_per_node == 0
        # A batch within the token budget holds at least one sequence of the longest kind.
        longest = config.data.max_prompt_length + config.data.max_response_length
        assert actor.ppo_max_token_len_per_gpu >= longest == rollout.max_model_len


def changes(settings: dict, schedule: dict) -> dict:
    """What the overrides change of verl's defaults: dotted key -> resolved value."""
    defaults, ours = flat(composed(())), flat(resolved(settings, schedule))
    return {key: value for key, value in ours.items() if defaults.get(key, "absent") != value}


def flat(config, prefix: str = "") -> dict:
    """Dotted key -> value; paths of this machine are cut."""
    found = {}
    for key in config:
        value = "???" if OmegaConf.is_missing(config, key) else config[key]
        if OmegaConf.is_dict(value):
            found |= flat(value, f"{prefix}{key}.")
        else:
            value = OmegaConf.to_container(value) if OmegaConf.is_list(value) else value
            found[prefix + str(key)] = "reward.py" if "reward.py" in str(value) else value
    return found


def golden() -> str:
    """YAML: of each scale what all methods change, and what one changes beside."""
    found = {}
    for scale in scales(ROOT):
        methods = {name: changes(*of) for name, of in one_a_method(scale).items()}
        common = {
            key: value
            for key, value in methods["lens"].items()
            if all(value == changed.get(key, "absent") for changed in methods.values())
        }
        own = {
            name: {key: value for key, value in changed.items() if key not in common}
            for name, changed in methods.items()
        }
        found[scale] = {"every method": common, **own}
    return yaml.safe_dump(found)


def test_what_is_changed_of_verls_defaults_is_known():
    message = f"the overrides changed; look at the difference after: python {__file__}"
    assert golden() == GOLDEN.read_text(), message


METHODS = load("tiny", ROOT)["methods"]
# clip below, clip above, loss, its constant, responses kept, batches of dynamic sampling
LENS_PAPER = (0.2, 0.2, "seq-mean-token-mean", None, "all", None)
# Of the methods that change any of these, by hand from their papers.
OTHER_PAPERS = {
    "dr-grpo": (0.2, 0.2, "seq-mean-token-sum-norm", 64, "all", None),
    "dapo": (0.2, 0.28, "token-mean", None, "all", 10),
    "ngrpo": (0.16, 0.24, "seq-mean-token-mean", None, "all", None),
    "psr": (0.2, 0.2, "token-mean", None, "correct", None),
    "nsr": (0.2, 0.2, "token-mean", None, "wrong", None),
    "w-reinforce": (0.2, 0.2, "token-mean", None, "all", None),
    "rl-zvp": (0.2, 0.28, "seq-mean-token-mean", None, "all", None),
}


def of_method(method: str) -> tuple[dict, dict]:
    config = load("tiny")
    run = Run("tiny", "math-dapo", method, 1)
    return training_settings(config, run), training_schedule(config)


def means(values: dict) -> tuple:
    """A row of OTHER_PAPERS from verl's configuration, by dotted key."""
    actor, sampling = "actor_rollout_ref.actor", "algorithm.filter_groups"
    keys = ("clip_ratio_low", "clip_ratio_high", "loss_agg_mode", "loss_scale_factor")
    limit = values[f"{sampling}.enable"] and values[f"{sampling}.max_num_gen_batches"]
    return *(values[f"{actor}.{key}"] for key in keys), values["lens.keep"], limit or None


def given(method: str) -> dict:
    """The overrides of a method by key."""
    pairs = (item.split("=", 1) for item in verl_overrides(*of_method(method), PATHS, None))
    return {key.lstrip("+"): yaml.safe_load(value) for key, value in pairs}


@pytest.mark.parametrize("method", OTHER_PAPERS)
def test_clip_loss_and_filter_as_other_papers_have_them(method):
    assert means(given(method)) == OTHER_PAPERS[method]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_changes_only_the_advantage_trains_as_the_lens_paper(method):
    advantage_alone = METHODS[method].keys() <= {"advantage", "options"}
    assert (means(given(method)) == LENS_PAPER) == advantage_alone


@pytest.mark.parametrize("method", ["dapo", "dr-grpo"])
def test_verls_configuration_takes_them(method):
    config = resolved(*of_method(method))
    assert means(flat(config)) == OTHER_PAPERS[method]
    assert config.actor_rollout_ref.actor.clip_ratio_c > 1e6
    assert config.algorithm.filter_groups.metric == "reward"


def test_methods_differ_in_nothing_else():
    """Same data order, sampler, grader and optimizer: only what a method may set differs."""
    actor = "actor_rollout_ref.actor"
    may_differ = (f"{actor}.clip_ratio", f"{actor}.loss", "algorithm.filter_groups", "lens.")
    plain = given("grpo")
    for method in METHODS:
        other = given(method)
        keys = plain.keys() | other.keys()
        different = {key for key in keys if plain.get(key) != other.get(key)}
        assert {key for key in different if not key.startswith(may_differ)} == set()


def test_device_decides_engine_precision_and_reward_workers():
    settings, schedule = of_scale("tiny")[0]
    cpu = resolved(settings, schedule)
    cuda = resolved(settings | {"device": "cuda", "engine": "vllm"}, schedule)
    assert (cpu.trainer.device, cuda.trainer.device) == ("cpu", "cuda")
    assert cpu.actor_rollout_ref.rollout.name == "hf"
    assert cuda.actor_rollout_ref.rollout.name == "vllm"
    assert cpu.actor_rollout_ref.rollout.dtype == "float32"
    assert cuda.actor_rollout_ref.rollout.dtype == "bfloat16"
    assert cpu.reward.num_workers == 0 and cuda.reward.num_workers > 0
    reward = Path(cuda.reward.custom_reward_function.path)
    assert "def compute_score(" in reward.read_text()


def test_vllm_on_a_processor():
    """What `make vllm-test` trains with; the configuration itself pairs cpu with hf alone."""
    settings, schedule = of_scale("tiny")[0]
    config = resolved(settings | {"engine": "vllm"}, schedule)
    rollout = config.actor_rollout_ref.rollout
    assert (config.trainer.device, rollout.name, rollout.dtype) == ("cpu", "vllm", "float32")
    longest = config.data.max_prompt_length + config.data.max_response_length
    assert rollout.max_model_len == longest
    assert not rollout.enable_sleep_mode and not rollout.free_cache_engine
    module, name = rollout.engine_kwargs.vllm.worker_extension_cls.rsplit(".", 1)
    assert f"class {name}(" in Path(find_spec(module).origin).read_text()
    assert config.reward.num_workers == rollout.agent.num_workers == 1
    assert config.reward.custom_reward_function.path.endswith("reward.py")


def test_resume_names_the_checkpoint():
    settings, schedule = of_scale("tiny")[0]
    assert resolved(settings, schedule).trainer.resume_mode == "disable"
    resumed = resolved(settings, schedule, resume_step=20)
    assert resumed.trainer.resume_mode == "resume_path"
    assert resumed.trainer.resume_from_path == "/c/global_step_20"


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(golden())
