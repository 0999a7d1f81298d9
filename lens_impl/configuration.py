"""Configuration: config/config.yaml with config/<scale>.yaml laid over it, and the methods.

Whatever is wrong with it is told as one UserError: what, the value, what is allowed, a hint.
"""

import shutil
import tempfile
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from lens_impl.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
MINIMUM_FREE_BYTES = 2 * 1024**3  # a tiny run leaves about 1 GB of checkpoints and results


def scales(root: Path = Path()) -> list[str]:
    """The scales that have an overlay in config/."""
    others = {"config", "methods", "paper_numbers"}
    return sorted(path.stem for path in (root / "config").glob("*.yaml") if path.stem not in others)


def overlay(scale: str, root: Path = Path()) -> str:
    """Path of a scale's configuration file, relative to the project; UserError if there is none."""
    if scale not in scales(root):
        raise UserError(f"scale is {scale!r}, but must be {choice(scale, scales(root))}")
    return f"config/{scale}.yaml"


def load(scale: str | None = None, root: Path = Path()) -> dict:
    """The checked configuration of a scale (None: the one that config/config.yaml names)."""
    config = read_yaml(root / "config" / "config.yaml")
    config = _laid_over(config, read_yaml(root / overlay(scale or config["scale"], root)))
    config["scale"] = scale or config["scale"]
    config["methods"] = read_yaml(root / "config" / "methods.yaml")
    check(config)
    return config


def read_yaml(path: Path | str) -> dict:
    try:
        # The parser in C: the one in Python takes a tenth of a dry run.
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Hint: git checkout -- {path}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None


def check(config: dict) -> None:
    """Raise a UserError that names the first thing wrong with a configuration."""
    _check_schema(config["methods"], "methods.schema.yaml", "config/methods.yaml: ")
    _check_schema(config, "config.schema.yaml", "config: ")
    for name, method in config["methods"].items():
        if method.get("keep", "all") != "all" and method.get("loss") != "token-mean":
            raise UserError(
                f"config/methods.yaml: {name}.keep is {method['keep']!r}, which needs "
                "loss: token-mean. Hint: the other losses divide by the number of all responses."
            )
    train, evaluate = config["train"], config["evaluate"]
    if train["prompts_per_rollout"] % train["prompts_per_update"]:
        raise UserError(
            f"config: train.prompts_per_rollout is {train['prompts_per_rollout']}, but must be a "
            f"multiple of train.prompts_per_update, which is {train['prompts_per_update']}. "
            "Hint: change one of the two; their quotient is the number of updates a rollout batch."
        )
    ranks = train["nodes"] * train["gpus_per_node"]
    if train["prompts_per_update"] * train["group_size"] % ranks:
        raise UserError(
            f"config: train.nodes x train.gpus_per_node is {ranks}, but must divide the "
            f"{train['prompts_per_update'] * train['group_size']} trajectories of an update. "
            "Hint: use fewer GPUs, or change train.prompts_per_update."
        )
    if evaluate["n"] < max(evaluate["k"]):
        raise UserError(
            f"config: evaluate.n is {evaluate['n']}, but Pass@{max(evaluate['k'])} in evaluate.k "
            f"needs at least {max(evaluate['k'])} samples. Hint: raise n or drop that k."
        )
    if train["device"] == "cpu" and train["engine"] == "vllm":
        raise UserError(
            "config: train.engine is 'vllm', but train.device 'cpu' needs 'hf'. "
            "Hint: set train.engine to hf, or train.device to cuda."
        )
    known = {"model": config["models"], "mix": config["data"]["mixes"], "method": config["methods"]}
    for place, experiment in enumerate(config["experiments"]):
        named = {**experiment, "method": experiment["methods"]}
        for kind, names in known.items():
            for value in named[kind] if kind == "method" else [named[kind]]:
                if value not in names:
                    raise UserError(
                        f"config: experiments[{place}] names the {kind} {value!r}, "
                        f"but it must be {choice(value, names)}"
                    )
    made = [name for name, model in config["models"].items() if model["source"] == "pretrain"]
    if made and "tiny_problems" not in config:
        raise UserError(
            f"config: models.{made[0]}.source is 'pretrain', but there are no tiny_problems to "
            "train it on. Hint: give tiny_problems, or take another source."
        )
    raw = config["data"]["local_dir"]
    if raw is not None and not Path(raw).is_dir():
        raise UserError(
            f"config: data.local_dir is {raw!r}, but there is no such folder. "
            "Hint: give the folder that holds the data sets, or null for the made ones."
        )


def check_results_folder(folder: Path | str = "results") -> None:
    """Raise a UserError unless files can be written there and enough of the disk is free."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{folder.resolve()}: cannot write there ({error.strerror}). "
            "Hint: make the folder writable, or clone the project into a folder of your own."
        ) from None
    free = shutil.disk_usage(folder).free
    if free < MINIMUM_FREE_BYTES:
        raise UserError(
            f"{folder.resolve()}: {free / 1024**3:.1f} GiB are free on its disk, "
            f"but {MINIMUM_FREE_BYTES / 1024**3:.0f} GiB are needed. Hint: make room, "
            "for instance by deleting results/*/runs/*/checkpoints of finished runs."
        )


def _laid_over(base: dict, over: dict) -> dict:
    """`over` on top of `base`, key by key in nested mappings, as Snakemake's configfile does."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _laid_over(merged[key], value) if both else value
    return merged


@cache
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(read_yaml(ROOT / "workflow" / "schemas" / schema))


def _check_schema(value: Any, schema: str, where: str) -> None:
    error = min(_validator(schema).iter_errors(value), key=_place, default=None)
    if error:
        raise UserError(where + _sentence(error))


def _place(error: jsonschema.ValidationError) -> str:
    """Where in the file: experiments[0].seeds."""
    parts = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in error.absolute_path]
    return "".join(parts).removeprefix(".")


def _sentence(error: jsonschema.ValidationError) -> str:
    """What is wrong, the value, what is allowed."""
    key, value, rule = _place(error), error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            allowed = error.schema.get("properties", {})
            unknown = next(name for name in value if name not in allowed)
            path = f"{key}.{unknown}" if key else unknown
            return f"unknown key {path!r}; it must be {choice(unknown, allowed)}"
        case "required":
            missing = next(name for name in rule if name not in value)
            path = f"{key}.{missing}" if key else missing
            return f"{path!r} is missing. Hint: config/README.md says what it is."
        case "type":
            kinds = [rule] if isinstance(rule, str) else rule
            wanted = " or ".join(_KINDS[kind] for kind in kinds)
            hint = _text_as_number(value) if {"number", "integer"} & set(kinds) else ""
            return f"{key} is {value!r}, but must be {wanted}.{hint}"
        case "enum":
            return f"{key} is {value!r}, but must be {choice(value, rule)}"
        case "minimum":
            return f"{key} is {value!r}, but must be at least {rule}."
        case "exclusiveMinimum":
            return f"{key} is {value!r}, but must be above {rule}."
        case "maximum":
            return f"{key} is {value!r}, but must be at most {rule}."
        case "minItems" | "minProperties":
            return f"{key or 'the file'} has {len(value)} entries, but must have at least {rule}."
        case "maxItems":
            return f"{key} has {len(value)} entries, but must have at most {rule}."
        case "uniqueItems":
            return f"{key} is {value!r}, but must not name anything twice."
        case "pattern" if "description" in error.schema:
            return f"{key} is {value!r}, but must be {error.schema['description']}."
        case "pattern":
            return (
                f"the name {value!r} under {key!r} must be of letters, digits and dashes, "
                "since it becomes a part of file names."
            )
    return f"{key}: {error.message}."


_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of keys to values",
    "null": "null",
}


def _text_as_number(value: Any) -> str:
    """A hint for numbers that arrive as text."""
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        number = None
    if number is None:
        return ""
    return (
        f" Hint: it is text. In a file write {int(number) if number.is_integer() else number}; "
        "for numbers within a section use --configfile, since --config makes text of them."
    )


def choice(value: Any, allowed: Any) -> str:
    """The allowed values, and the one that was probably meant."""
    names = [str(name) for name in allowed]
    near = get_close_matches(str(value), names, n=1)
    hint = f" Hint: did you mean {near[0]!r}?" if near else ""
    return f"one of {', '.join(names)}.{hint}" if len(names) > 1 else f"{names[0]!r}.{hint}"
