"""CONTRIBUTING.md, "Add a method": one file and one line, and then everything knows it."""

import json
import shutil

from support.project import changed, copy_tracked, files, python

from lens_impl.advantages.__main__ import PAGE, page
from lens_impl.files import ROOT

NEW = ROOT / "tests" / "support" / "new_method"


def test_a_method_is_one_file_and_one_line(tmp_path):
    copy_tracked(tmp_path)
    project = tmp_path
    before = files(project)
    shutil.copy(NEW / "signed.py", project / "lens_impl" / "advantages")
    with open(project / "config" / "methods.yaml", "a") as methods:
        methods.write("signed-2: {advantage: signed, options: {size: 2.0}, clip_high: 0.28}\n")
    touched = changed(before, files(project))
    assert touched == {"lens_impl/advantages/signed.py", "config/methods.yaml"}

    done = python(project, NEW / "use.py")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["root"] == str(project)
    assert found["light"], "the configuration was not checked without torch"
    assert {
        '+lens.advantage="signed"',
        "+lens.options={size:2.0}",
        "actor_rollout_ref.actor.clip_ratio_high=0.28",
    } <= set(found["overrides"])
    assert found["name"] == "Signed, 2"
    assert found["advantages"] == [[2.0], [-2.0]]

    done = python(project, "-m", "lens_impl.advantages")
    assert done.returncode == 0, done.stderr
    text = (project / "docs" / "methods.md").read_text()
    assert "| `signed-2` | `signed` | size 2.0 |" in text
    assert "| `size` | `signed` | 1.0 | a number above 0 | the constant |" in text


def test_the_page_of_methods_is_current():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run: python -m lens_impl.advantages"
