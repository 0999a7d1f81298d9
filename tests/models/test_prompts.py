"""Named templates: what they write, and that every reader of the model's folder gets the same."""

import re
import subprocess
import sys

import pytest

from lens_impl.errors import UserError
from lens_impl.models.prompts import TEMPLATES, chat_template

MESSAGES = [{"role": "user", "content": "What is $1+1$?"}]
# As in Llama's own template: the date of the day unless one is given.
LLAMA = (
    "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}"
    "{%- endif %}{{- bos_token }}{{- 'Today Date: ' + date_string + '\\n' }}"
    "{%- for message in messages %}{{- message['content'] }}{%- endfor %}"
)


def render(template: str, **values) -> str:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        messages=MESSAGES, add_generation_prompt=True, **values
    )


def test_qwen():
    assert render(chat_template("qwen", None)) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nWhat is $1+1$?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_plain():
    assert render(chat_template("plain", None)) == "What is $1+1$?"
    assert render(chat_template("plain", None), bos_token="<s>") == "<s>What is $1+1$?"


def test_llama_keeps_its_template_and_pins_the_date():
    text = render(chat_template("llama", LLAMA), bos_token="<s>")
    assert text == "<s>Today Date: 26 Jul 2024\nWhat is $1+1$?"
    assert chat_template("llama", chat_template("llama", LLAMA)) == chat_template("llama", LLAMA)


def test_errors():
    with pytest.raises(UserError, match="template 'llama' is the model's own.*Hint"):
        chat_template("llama", None)
    with pytest.raises(UserError, match="template is 'gemma'.*one of qwen, llama, plain"):
        chat_template("gemma", None)


@pytest.mark.slow
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_models_folder_carries_its_template(tmp_path, name):
    from transformers import AutoTokenizer

    from lens_impl.models.prompts import prompt_ids
    from lens_impl.models.toy import make_tokenizer

    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    command = [sys.executable, "-m", "lens_impl.models.prompts", "--model", str(tmp_path)]
    subprocess.run([*command, "--template", name], check=True)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = again.decode(prompt_ids(again, MESSAGES))
    assert "What is" in text and ("assistant" in text) == (name == "qwen")
    assert (prompt_ids(again, MESSAGES) == prompt_ids(tokenizer, MESSAGES)) == (name == "llama")
    assert re.search("26 Jul 2024", again.chat_template or "") or name != "llama"
