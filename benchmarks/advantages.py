"""LENS compared with verl's GRPO and with the memory: the cost of a rollout batch's advantages.

    python benchmarks/advantages.py        paper size: 2,048 responses of up to 4,096 tokens

Peers: verl's default estimator (a loop over responses) and its vectorised one, with the same mask.
Floor: one read of log-probabilities and mask and one write of advantages, in torch's fastest form.
One thread, and as many as the machine has cores. Only ours checks its input.
"""

import argparse

import numpy as np
import torch
from common import MIB, Goal, Table, extra_memory, in_turn, write

from lens_impl.advantages import RolloutBatch, compute_advantages

GROUP = 16
METHODS = ("grpo", "lens", "lens_negative_only", "rl_zvp")


def rollout(responses: int, tokens: int) -> tuple[RolloutBatch, dict]:
    """A batch with 40 % correct responses of 200 to `tokens` tokens, and what verl's GRPO takes."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(min(200, tokens), tokens + 1, (responses,), generator=generator)
    mask = torch.arange(tokens) < lengths[:, None]
    log_probs = torch.where(mask, -torch.rand(responses, tokens, generator=generator), 0.0)
    rewards = (torch.rand(responses, generator=generator) < 0.4).float()
    group_ids = np.arange(responses) // GROUP
    of_tokens = torch.zeros(responses, tokens)
    of_tokens[torch.arange(responses), lengths - 1] = rewards
    verl = {"token_level_rewards": of_tokens, "response_mask": mask, "index": group_ids}
    return RolloutBatch(rewards, group_ids, mask, log_probs), verl


def ways(batch: RolloutBatch, verl: dict) -> dict:
    from verl.trainer.ppo import core_algos

    def ours(method: str):
        # A new batch: its checks and sums are part of the cost.
        entropies = -batch.old_log_probs if method == "rl_zvp" else None
        return lambda: compute_advantages(
            method,
            RolloutBatch(
                batch.rewards, batch.group_ids, batch.response_mask, batch.old_log_probs, entropies
            ),
        )

    return {
        "floor": lambda: torch.where(batch.response_mask, batch.old_log_probs, 0.0),
        "verl GRPO": lambda: core_algos.compute_grpo_outcome_advantage(**verl),
        "verl GRPO, vectorised": lambda: core_algos.compute_grpo_vectorized_outcome_advantage(
            **verl
        ),
        **{method: ours(method) for method in METHODS},
    }


def shortest_step() -> float:
    """Seconds of the fastest step of the paper's scale on H100s, by lens_impl.experiments.costs."""
    from lens_impl.experiments.configuration import load
    from lens_impl.experiments.costs import GPUS, Assumptions, modelled
    from lens_impl.files import ROOT

    config = load("paper", ROOT)
    return min(
        modelled(config, model, GPUS["h100"], Assumptions()).phases["step"]
        for model in config["models"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--responses", type=int, default=2048)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    batch, verl = rollout(arguments.responses, arguments.tokens)
    every, cores = ways(batch, verl), torch.get_num_threads()
    found = {}
    for threads in dict.fromkeys((1, cores)):
        torch.set_num_threads(threads)
        found[threads] = in_turn(every, arguments.rounds)
    torch.set_num_threads(1)
    array = arguments.responses * arguments.tokens * 4 / MIB
    memory = {name: extra_memory(way) - array for name, way in every.items()}
    one, step = found[1], shortest_step()
    to_verl, to_floor = one["lens"] / one["verl GRPO"], one["lens"] / one["floor"]
    ms = {name: f"{1e3 * value:.0f} ms" for name, value in one.items()}
    of_step = one["lens"] / step
    size = f"{arguments.responses:,} x {arguments.tokens:,}"
    goals = [
        Goal(
            f"LENS advantages, {size}, against verl's GRPO",
            "at most 1 x",
            to_verl <= 1,
            ms["lens"],
            peer=ms["verl GRPO"],
            ratio=f"{to_verl:.2f}",
        ),
        Goal(
            "the same, against the memory floor",
            "at most 1.5 x",
            to_floor <= 1.5,
            ms["lens"],
            floor=ms["floor"],
            ratio=f"{to_floor:.2f}",
        ),
        Goal(
            "extra memory of LENS",
            f"below one [B, T] array, {array:.0f} MiB",
            memory["lens"] < array,
            f"{memory['lens']:.1f} MiB",
            peer=f"{memory['verl GRPO']:.1f} MiB",
            ratio=f"{memory['lens'] / array:.2f}",
        ),
        Goal(
            f"share of the paper scale's fastest step ({step:.0f} s, modelled, H100)",
            "below 0.1 %",
            of_step < 1e-3,
            f"{of_step:.3%}",
        ),
    ]
    rows = [
        [name, *(f"{1e3 * found[t][name]:.1f}" for t in found)]
        + [f"{one[name] / one['floor']:.2f}", f"{memory[name]:.1f}"]
        for name in every
    ]
    header = ["way", *(f"ms, {t} thread(s)" for t in found), "times floor", "extra MiB"]
    write("advantages", __doc__.split("\n\n")[-1].strip(), goals, [Table(size, header, rows)])


if __name__ == "__main__":
    main()
