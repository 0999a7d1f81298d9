"""How a problem becomes a prompt's tokens: one function for training, evaluation and data cards.

    python -m lens_impl.models.prompts --model FOLDER --template llama

writes a named template into the tokenizer of a model's folder, so that verl, vLLM and this package
all read the same one. The paper says neither wording nor template. `data.instruction` is text after
the problem and belongs to the data; a template is the frame around it and belongs to the model.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lens_impl.errors import UserError, run_cli
from lens_impl.files import write_text

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

# (messages of P problems, P x n seeds) -> P x n rows response, length, log_prob, finished.
Sampler = Callable[[Sequence, Sequence[int]], "pd.DataFrame"]

# Qwen2.5's format with its default system message.
_QWEN = """
{{- "<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n" }}
{%- for message in messages %}
    {{- "<|im_start|>" + message["role"] + "\\n" + message["content"] + "<|im_end|>\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}{{- "<|im_start|>assistant\\n" }}{%- endif %}
"""
# Nothing but the text, behind the beginning-of-text token where the tokenizer has one.
_PLAIN = """
{{- bos_token if bos_token else "" }}
{%- for message in messages %}{{- message["content"] }}{%- endfor %}
"""
# Llama's template writes "Today Date" into the system header: the day of the run, unless it is set.
_LLAMA_DATE = '{%- set date_string = "26 Jul 2024" %}\n'

TEMPLATES = ("qwen", "llama", "plain")


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Iterable[dict]) -> list[int]:
    """The one way in which chat messages become a prompt's tokens."""
    return tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, tokenize=True, return_dict=False
    )


def repeated_prompts(
    tokenizer: PreTrainedTokenizerBase, messages: Iterable, n: int
) -> list[list[int]]:
    """The tokens of each problem's prompt, n times in a row."""
    return [ids for message in messages for ids in [prompt_ids(tokenizer, message)] * n]


def chat_template(name: str, own: str | None) -> str:
    """The Jinja text of a named template. own: the model's, which `llama` keeps and pins.

    UserError for an unknown name, or where `llama` has nothing to keep.
    """
    match name:
        case "qwen":
            return _QWEN.strip()
        case "plain":
            return _PLAIN.strip()
        case "llama" if own:
            return own if own.startswith(_LLAMA_DATE) else _LLAMA_DATE + own
        case "llama":
            raise UserError(
                "template 'llama' is the model's own chat template with a fixed date, but this "
                "model has none. Hint: take the instruction-tuned model, or template plain."
            )
    raise UserError(f"template is {name!r}, but must be one of {', '.join(TEMPLATES)}.")


def apply_template(folder: Path, name: str) -> None:
    """Give the tokenizer in a model's folder a named template.

    The one new file goes before what tokenizer_config.json says. It replaces a link and leaves what
    the link leads to: the hub's cache belongs to others too.
    """
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(folder).chat_template
    write_text(folder / "chat_template.jinja", chat_template(name, own))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of a Hugging Face model")
    parser.add_argument("--template", required=True, help=", ".join(TEMPLATES))
    arguments = parser.parse_args()
    apply_template(arguments.model, arguments.template)


if __name__ == "__main__":
    run_cli(main)
