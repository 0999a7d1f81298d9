"""A schema error as one sentence: where, the value, what is allowed."""

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from lens_impl.errors import UserError, choice
from lens_impl.files import ROOT, read_yaml


@cache
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    schemas = Path("workflow", "schemas")
    # Next to the package in a clone; an installation elsewhere is used from the project's folder.
    folder = ROOT / schemas if (ROOT / schemas).is_dir() else schemas
    return jsonschema.Draft202012Validator(read_yaml(folder / schema))


def check_schema(value: Any, schema: str, where: str) -> None:
    """Raise the first error of a value against a file of workflow/schemas/, as a UserError.

    where: what the sentence begins with.
    """
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
            return f"{path!r} is missing. Hint: config/README.md explains it."
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
