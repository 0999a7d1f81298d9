"""How many samples per problem Pass@k needs."""

from collections.abc import Sequence

from lens_impl.errors import UserError


def check_samples(n: int, ks: Sequence[int], where: str = "evaluate") -> None:
    """UserError where n samples per problem are too few for the largest k.

    where: the section of the configuration that has this n and k.
    """
    if n < max(ks):
        raise UserError(
            f"config: {where}.n is {n}, but Pass@{max(ks)} in {where}.k "
            f"needs at least {max(ks)} samples. Hint: raise n or drop that k."
        )
