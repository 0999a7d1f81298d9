"""Models of the Hugging Face hub, at a pinned revision: `python -m lens_impl.models.hub`.

The files stay in the hub's cache (HF_HOME); a model's folder in results/ has links to them. With
HF_HUB_OFFLINE=1 a cache that was filled elsewhere serves.
"""

import argparse
from functools import partial
from pathlib import Path

from lens_impl.errors import UserError, run_cli
from lens_impl.files import whole_folder
from lens_impl.models.prompts import TEMPLATES, apply_template

# No second copy of the weights in another format, as Llama's repository has it.
PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "LICENSE*"]


def fetch_model(repo: str, revision: str, template: str, folder: Path) -> None:
    """Make `folder` with links to the files of a model; UserError if the hub does not provide it.

    repo: owner/name; revision: a commit; template: of prompts.TEMPLATES, which the folder's
    tokenizer gets. An interrupted download resumes where it stopped.
    """
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = f"{repo} at {revision[:12]}"
    snapshot = partial(snapshot_download, repo, revision=revision, allow_patterns=PATTERNS)
    try:
        try:
            cached = Path(snapshot())
        except (OfflineModeIsEnabled, httpx.TransportError):
            cached = Path(snapshot(local_files_only=True))
    except GatedRepoError:
        raise UserError(
            f"{name}: only those who accepted its licence may download it. Hint: accept it on "
            f"https://huggingface.co/{repo}, then `hf auth login`, or set HF_TOKEN."
        ) from None
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise UserError(
            f"{name}: the hub has no such model. Hint: check `repo` and `revision` under models."
        ) from None
    except LocalEntryNotFoundError:
        raise UserError(
            f"{name}: it is not in the cache and the hub does not answer. Hint: run "
            f"`hf download {repo} --revision {revision}` where there is internet, and "
            "set HF_HOME to that cache (a copy of it will do)."
        ) from None
    if not (cached / "config.json").is_file():
        raise UserError(f"{cached} has no config.json. Hint: delete that folder and repeat.")
    with whole_folder(folder) as new:
        for file in sorted(cached.iterdir()):
            (new / file.name).symlink_to(file.resolve())
        apply_template(new, template)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repo", required=True, help="owner/name")
    parser.add_argument("--revision", required=True, help="a commit")
    parser.add_argument("--template", required=True, help=", ".join(TEMPLATES))
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args()
    fetch_model(arguments.repo, arguments.revision, arguments.template, arguments.out)


if __name__ == "__main__":
    run_cli(main)
