import pytest

from lens_impl.report.names import method_name


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("base", "base model"),
        ("lens", "LENS"),
        ("dr-grpo", "Dr. GRPO"),
        ("lens-mixed-only", "LENS with only mixed groups"),
        ("lens-alpha-1", "LENS, alpha 1"),
        ("lens-mixed-only-raw", "LENS with only mixed groups, raw"),
        ("lensing", "lensing"),
    ],
)
def test_a_method_has_its_papers_name_and_a_variant_says_what_it_changes(method, name):
    assert method_name(method) == name
