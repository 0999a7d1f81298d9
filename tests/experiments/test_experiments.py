"""Configuration in, runs, settings and sentences out."""

import copy

import pytest

from lens_impl.advantages import METHODS
from lens_impl.errors import UserError
from lens_impl.experiments import checks
from lens_impl.experiments.checks import check, check_results_folder
from lens_impl.experiments.configuration import load, scales
from lens_impl.experiments.runs import Run, find, planned_runs
from lens_impl.experiments.settings import (
    checkpoint_hash,
    evaluation_config,
    gpus_of,
    regime_config,
    training_resources,
    training_schedule,
    training_settings,
)
from lens_impl.files import ROOT, read_yaml

LENS = Run("tiny", "math-dapo", "lens", 1)


@pytest.fixture(scope="module")
def config():
    return load("tiny", ROOT)


def changed(config, path, value):
    """A copy with the value at a dotted path replaced."""
    config = copy.deepcopy(config)
    *parents, last = path.split(".")
    part = config
    for key in parents:
        part = part[int(key) if isinstance(part, list) else key]
    part[last] = value
    return config


@pytest.mark.parametrize("scale", scales(ROOT))
def test_every_scale_loads_and_names_each_run_once(scale):
    names = [run.name for run in planned_runs(load(scale, ROOT))]
    assert names
    assert len(set(names)) == len(names)


def test_tiny_asks_for_the_runs_of_the_paper(config):
    assert [run.name for run in planned_runs(config)] == [
        "tiny_math-dapo_grpo_s1",
        "tiny_math-dapo_lens_s1",
        "tiny_math-dapo_grpo_s2",
        "tiny_math-dapo_lens_s2",
        "tiny_math-numina_grpo_s1",
        "tiny_math-numina_lens_s1",
        "tiny_math-numina_lens-mixed-only_s1",
        "tiny_math-numina_lens-negative-only_s1",
    ]


def test_smoke_has_the_papers_methods_and_both_mixes():
    config = load("smoke", ROOT)
    runs = planned_runs(config)
    paper = {"grpo", "lens", "lens-mixed-only", "lens-negative-only"}
    assert {run.method for run in runs} == paper
    assert {run.mix for run in runs} == set(config["data"]["mixes"])


def test_every_advantage_has_a_line_in_methods_yaml(config):
    assert {method["advantage"] for method in config["methods"].values()} == set(METHODS)


def test_the_experiment_over_methods_is_valid(config):
    overlay = read_yaml(ROOT / "config/experiments/every_method.yaml")
    check(config | overlay)
    assert len(planned_runs(config | overlay)) == len(overlay["experiments"][0]["methods"])


def test_overlay_is_laid_over_nested_mappings_and_replaces_lists(config):
    base = read_yaml(ROOT / "config" / "config.yaml")
    assert config["train"]["prompts_per_rollout"] == 32  # tiny.yaml
    assert config["train"]["clip_ratio"] == base["train"]["clip_ratio"] == 0.2
    assert config["data"]["mixes"]["math-dapo"]["math"] is None


def test_a_run_that_two_experiments_ask_for_is_there_once(config):
    twice = changed(config, "experiments", config["experiments"] * 2)
    assert planned_runs(twice) == planned_runs(config)


@pytest.mark.parametrize(
    "path, value, sentence",
    [
        ("train.group_sizes", 4, "unknown key 'train.group_sizes'"),
        ("train.group_sizes", 4, "did you mean 'group_size'?"),
        ("trian", {}, "unknown key 'trian'"),
        ("train.group_size", "16", "train.group_size is '16', but must be a whole number"),
        ("train.group_size", 1, "train.group_size is 1, but must be at least 2"),
        ("train.steps", 2.5, "train.steps is 2.5, but must be a whole number"),
        ("train.steps", True, "train.steps is True, but must be a whole number"),
        ("train.clip_ratio", 0, "train.clip_ratio is 0, but must be above 0"),
        ("train.top_p", 1.5, "train.top_p is 1.5, but must be at most 1"),
        ("train.prompts_per_rollout", 30, "is 30, but must be a multiple of"),
        ("train.validation.n", 0, "train.validation.n is 0, but must be at least 1"),
        ("train.validation", 16, "train.validation is 16, but must be a mapping"),
        ("train.engine", "vlm", "train.engine is 'vlm', but must be one of hf, vllm"),
        ("train.engine", "vllm", "train.device 'cpu' needs 'hf'"),
        ("models.tiny.learning_rate", "3e-4", "Hint: it is text. In a file write 0.0003;"),
        ("models.tiny.learning_rate", -1.0, "must be above 0"),
        ("models.my model", {}, "the name 'my model' under 'models' must be of letters"),
        (
            "methods.lens.options",
            {"alpha": -0.25},
            "alpha must be a number of at least 0, got -0.2",
        ),
        ("methods.lens.options", {"alhpa": 0.5}, "methods.yaml: lens.options: lens has no option"),
        ("methods.lens.options", 0.5, "lens.options is 0.5, but must be a mapping"),
        ("methods.lens.alpha", 0.5, "unknown key 'lens.alpha'"),
        ("methods.grpo.options", {"alpha": 0.5}, "grpo has no option 'alpha'"),
        ("methods.grpo.clip_hihg", 0.3, "did you mean 'clip_high'?"),
        ("methods.grpo.clip_high", 0, "grpo.clip_high is 0, but must be above 0"),
        ("methods.grpo.loss", "token", "loss is 'token', but must be one of seq-mean-token-mean"),
        ("methods.grpo.keep", "correct", "grpo.keep is 'correct', which needs loss: token-mean"),
        ("methods.dapo.filter_groups", True, "dapo.filter_groups is True, but must be a mapping"),
        (
            "methods.dapo.options",
            {"overlong_buffer": 4096},
            "at least 0 and of at most 1, got 4096",
        ),
        ("methods.lens.options", {"max_factor": 1}, "max_factor must be a number above 1, got 1"),
        (
            "methods.lens.options",
            {"preference": "size"},
            "one of geometric_mean, none, policy, len",
        ),
        ("methods.lens.options", {"scale_by_group": 1}, "must be true or false or mixed, got 1"),
        ("methods.asym-re.options", {"delta": "-.1"}, "delta must be a number, got '-.1'"),
        ("methods.lens.advantage", "lense", "did you mean 'lens'?"),
        ("methods.grpo_x", {"advantage": "grpo"}, "the name 'grpo_x'"),
        ("methods.grpo", {}, "'grpo.advantage' is missing"),
        ("evaluate.n", 8, "evaluate.n is 8, but Pass@16 in evaluate.k needs at least 16"),
        ("evaluate.sets", {"math": {"n": 4}}, "evaluate.sets.math.n is 4, but Pass@16"),
        ("evaluate.sets", {"math": {"k": [32]}}, "evaluate.sets.math.n is 16, but Pass@32"),
        ("evaluate.sets", {"math": {}}, "evaluate.sets.math has 0 entries"),
        ("evaluate.sets", {"math": {"shards": 2}}, "unknown key 'evaluate.sets.math.shards'"),
        ("evaluate.sets", {"amc": {"n": 16}}, "evaluate.sets names 'amc', but it must be a set of"),
        ("evaluate.k", [], "evaluate.k has 0 entries, but must have at least 1"),
        ("evaluate.k", [1, 1], "must not name anything twice"),
        ("train.nodes", 3, "train.nodes x train.gpus_per_node is 3, but must divide the 128"),
        ("toy", "yes", "toy is 'yes', but must be true or false"),
        ("tiny_problems.sizes.aime24_test", 30, "sizes has aime24_test, but tiny_problems.levels"),
        ("experiments.0.methods", ["grpo", "lense"], "experiments[0] names the method 'lense'"),
        ("experiments.0.methods", ["lense"], "Hint: did you mean 'lens'?"),
        ("experiments.1.mix", "math-numia", "experiments[1] names the mix 'math-numia'"),
        ("experiments.0.model", "tinny", "experiments[0] names the model 'tinny'"),
        ("experiments.0.seeds", 1, "experiments[0].seeds is 1, but must be a list"),
        ("data.languages", ["fr"], "data.languages[0] is 'fr', but must be one of en, zh"),
        ("data.local_dir", "/no/such/folder", "there is no such folder"),
        (
            "tiny_problems.levels.dapo",
            [1, 2],
            "levels.dapo has 2 entries, but must have at least 5",
        ),
    ],
)
def test_wrong_configuration_is_one_sentence(config, path, value, sentence):
    with pytest.raises(UserError) as raised:
        check(changed(config, path, value))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_groups_are_larger_than_the_k_of_pass_at_k(config):
    config = changed(config, "experiments.0.methods", ["pkpo"])
    check(changed(config, "train.group_size", 16))
    with pytest.raises(UserError, match="pkpo has k 16, but must have less than train.group_size"):
        check(changed(config, "methods.pkpo.options", {"k": 16}))


def test_a_model_from_scratch_needs_problems(config):
    del config["tiny_problems"]
    with pytest.raises(UserError, match="models.tiny.source is 'pretrain', but there are no tiny"):
        check(config)


def test_the_readme_explains_every_knob(config):
    text = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    knobs = {key for section in config for key in knobs_of(config[section], section)}
    assert {knob for knob in knobs if f"`{knob}`" not in text and f"## {knob}" not in text} == set()


def knobs_of(value, name):
    """Keys down to the second level; names of models, mixes and methods are not knobs."""
    if name in ("models", "methods"):
        return {key for entry in value.values() for key in entry} | {name}
    if name == "experiments":
        return {key for entry in value for key in entry} | {name}
    return {name, *value} if isinstance(value, dict) else {name}


def test_unknown_scale_names_the_scales():
    with pytest.raises(UserError, match="scale is 'tny', but must be one of .*smoke, tiny"):
        load("tny", ROOT)


def test_missing_and_broken_files_are_sentences(tmp_path):
    with pytest.raises(UserError, match="is not the project's folder.*Hint: cd into the clone"):
        load(root=tmp_path)
    (tmp_path / "config").mkdir()
    with pytest.raises(UserError, match="config.yaml is missing"):
        load(root=tmp_path)
    (tmp_path / "broken.yaml").write_text("a: [1, 2\nb: 3\n")
    with pytest.raises(UserError, match="broken.yaml is not valid YAML"):
        read_yaml(tmp_path / "broken.yaml")


def test_unknown_run_is_a_sentence_with_the_nearest_name(config):
    assert find(config, "tiny_math-dapo_lens_s1") == LENS
    with pytest.raises(UserError, match="did you mean 'tiny_math-dapo_lens_s1'"):
        find(config, "tiny_math-dapo_len_s1")


def test_every_check_accepts_every_scale():
    for scale in scales(ROOT):
        config = load(scale, ROOT)
        assert [*(sentence for rule in checks.CHECKS for sentence in rule(config))] == []


def test_a_check_yields_a_sentence_for_each_thing_that_is_wrong(config):
    config = changed(config, "experiments.0.methods", ["grpo", "lense", "lns"])
    config = changed(config, "experiments.1.mix", "dapo")
    found = list(checks.experiments_name_what_exists(config))
    assert [sentence.split("'")[1] for sentence in found] == ["lense", "lns", "dapo"]
    assert not [*checks.whole_updates(config), *checks.enough_samples(config)]


def test_only_the_toys_call_themselves_toys():
    assert {scale for scale in scales(ROOT) if load(scale, ROOT)["toy"]} == {"smoke", "tiny"}


def test_an_evaluation_set_may_have_its_own_n_and_k(config):
    config = changed(config, "evaluate.sets", {"aime24": {"n": 256, "k": [1, 256]}})
    others = evaluation_config(config)
    assert (others["n"], others["k"]) == (16, [1, 2, 4, 8, 16])
    assert evaluation_config(config, "math") == others
    assert evaluation_config(config, "aime24") == others | {"n": 256, "k": [1, 256]}


def test_a_base_model_is_measured_in_groups_of_training(config):
    config = changed(config, "train.group_size", 4)
    measured = regime_config(config)
    assert measured["n"] == 4 and "k" not in measured
    assert measured["problems"] == config["evaluate"]["regime_problems"]


def test_a_run_on_one_node_asks_for_its_gpus(config):
    assert training_resources(config) == {"gpu": 0}
    paper = load("paper", ROOT)
    assert training_resources(paper) == {"gpu": gpus_of(paper, "train")} == {"gpu": 8}


def test_a_run_on_several_nodes_asks_for_the_gpus_of_each():
    paper = changed(load("paper", ROOT), "train.nodes", 2)
    wanted = {"nodes": 2, "tasks": 2, "mpi": "srun", "tasks_per_gpu": 0, "gres": "gpu:8"}
    assert training_resources(paper) == wanted
    paper["train"]["device"] = "cpu"
    assert training_resources(paper) == {key: wanted[key] for key in wanted if key != "gres"}


def test_settings_are_everything_that_decides_a_trajectory(config):
    assert training_settings(config, LENS) == {
        "model": "tiny",
        "mix": "math-dapo",
        "method": "lens",
        "seed": 1,
        "recipe": {"advantage": "lens", "options": {"alpha": 0.25}},
        "learning_rate": config["models"]["tiny"]["learning_rate"],
        "group_size": 16,
        "prompts_per_rollout": 32,
        "prompts_per_update": 8,
        "clip_ratio": 0.2,
        "max_prompt_tokens": config["train"]["max_prompt_tokens"],
        "max_response_tokens": config["train"]["max_response_tokens"],
        "temperature": 1.0,
        "top_p": 1.0,
        "engine": "hf",
        "device": "cpu",
        "threads": 1,
    }


@pytest.mark.parametrize("key", ["steps", "validate_every", "checkpoint_every", "dump_every"])
def test_length_and_reports_leave_the_checkpoint_where_it_is(config, key):
    longer = changed(config, f"train.{key}", config["train"][key] + 1)
    assert training_settings(longer, LENS) == training_settings(config, LENS)
    assert training_schedule(longer) != training_schedule(config)


@pytest.mark.parametrize(
    "path, value",
    [
        ("train.group_size", 8),
        ("train.clip_ratio", 0.3),
        ("train.threads", 2),
        ("models.tiny.learning_rate", 1e-3),
        ("methods.lens.alpha", 0.5),
    ],
)
def test_what_moves_the_trajectory_moves_the_checkpoint(config, path, value):
    before = checkpoint_hash(training_settings(config, LENS))
    after = checkpoint_hash(training_settings(changed(config, path, value), LENS))
    assert before != after


def test_checkpoint_hash_is_a_fixed_function_of_the_settings():
    digest = checkpoint_hash({"b": 1, "a": [1, 2]})
    assert digest == checkpoint_hash({"a": [1, 2], "b": 1})
    assert digest == "3813f9409eb0"  # first digits of sha256 of '{"a": [1, 2], "b": 1}'


def test_methods_of_one_experiment_differ_in_nothing_but_the_method(config):
    other = training_settings(config, Run("tiny", "math-dapo", "grpo", 1))
    ours = training_settings(config, LENS)
    assert {key for key in ours if ours[key] != other[key]} == {"method", "recipe"}


def test_results_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write there .*Hint"):
        check_results_folder(tmp_path / "results")


def test_full_disk_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "MINIMUM_FREE_BYTES", 2**80)
    with pytest.raises(UserError, match="GiB are needed. Hint: free some space"):
        check_results_folder(tmp_path)


def test_checking_the_results_folder_leaves_nothing_behind(tmp_path):
    check_results_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []
