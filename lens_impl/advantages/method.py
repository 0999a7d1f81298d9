"""What a method is, and the registry of all methods.

A method is one file of this package, which `@method` enters into METHODS, and one line in
config/methods.yaml. Its function is pure: from a RolloutBatch and its options to advantages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from typing import TYPE_CHECKING, Any

from lens_impl.advantages.options import Options
from lens_impl.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from lens_impl.advantages.batch import RolloutBatch


@dataclass(frozen=True)
class Paper:
    """Where a method is from."""

    authors: str
    year: int
    arxiv: str  # number, such as 2402.03300

    def __str__(self) -> str:
        return f"{self.authors} {self.year}, arXiv:{self.arxiv}"


@dataclass(frozen=True)
class Method:
    """A method and what is known of it; called with a batch and options, it gives advantages."""

    name: str
    title: str
    paper: Paper
    function: Callable[..., Tensor]
    options_class: type[Options]
    without: tuple[str, ...]
    # What a response gets in each kind of group, for docs/methods.md.
    all_wrong: str
    mixed: str
    all_correct: str
    group_of_one: str

    def __call__(self, batch: RolloutBatch, **options: Any) -> Tensor:
        """[B, T] float32 advantages, 0 where masked; UserError for a wrong option."""
        return self.function(batch, self.checked(options))

    @property
    def options(self) -> dict[str, Field]:
        """The options that can be set, by name."""
        found = fields(self.options_class)
        return {option.name: option for option in found if option.name not in self.without}

    def checked(self, given: dict[str, Any]) -> Options:
        """The options as one object; UserError for an unknown option and for a wrong value."""
        for name in given:
            if name not in self.options:
                raise UserError(
                    f"{self.name} has no option {name!r}; "
                    f"its options are {', '.join(self.options) or '(none)'}"
                )
        try:
            return self.options_class(**given)
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from None


METHODS: dict[str, Method] = {}


def method(
    title: str,
    paper: Paper,
    options: type[Options] = Options,
    without: tuple[str, ...] = (),
    *,
    all_wrong: str,
    mixed: str,
    all_correct: str,
    group_of_one: str,
) -> Callable:
    """Enter a function of (batch, options) into METHODS under its own name.

    title: the name in tables and figures. without: fields of the options that this method leaves
    at their defaults. The rest: what a response's advantage is in each kind of group.
    """

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        name = function.__name__
        METHODS[name] = Method(
            name,
            title,
            paper,
            function,
            options,
            without,
            all_wrong=all_wrong,
            mixed=mixed,
            all_correct=all_correct,
            group_of_one=group_of_one,
        )
        return function

    return register
