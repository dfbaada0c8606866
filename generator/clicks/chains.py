"""How each persona moves through the shop: a Markov chain over the event types, and log-normal gaps between events."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from functools import cache

# Probability of the next event by the current one. A visit begins with `view` and ends after `leave`.
_BROWSER: dict[str, dict[str, float]] = {
    "view": {"search": 0.30, "product": 0.45, "leave": 0.25},
    "search": {"search": 0.20, "product": 0.58, "leave": 0.22},
    "product": {"product": 0.30, "view": 0.12, "search": 0.16, "cart": 0.12, "leave": 0.30},
    "cart": {"product": 0.35, "checkout": 0.30, "leave": 0.35},
    "checkout": {"purchase": 0.55, "leave": 0.45},
    "purchase": {"leave": 1.0},
}
CHAINS: dict[str, dict[str, dict[str, float]]] = {
    "browser": _BROWSER,
    "bargain_hunter": _BROWSER
    | {
        "view": {"search": 0.55, "product": 0.28, "leave": 0.17},
        "search": {"search": 0.35, "product": 0.50, "leave": 0.15},
        "product": {"product": 0.22, "search": 0.34, "cart": 0.22, "leave": 0.22},
    },
    "loyal": _BROWSER
    | {
        "product": {"product": 0.24, "view": 0.10, "search": 0.10, "cart": 0.36, "leave": 0.20},
        "cart": {"product": 0.28, "checkout": 0.58, "leave": 0.14},
        "checkout": {"purchase": 0.88, "leave": 0.12},
    },
    "returner": _BROWSER
    | {
        "product": {"product": 0.26, "view": 0.08, "search": 0.14, "cart": 0.30, "leave": 0.22},
        "cart": {"product": 0.40, "checkout": 0.42, "leave": 0.18},
    },
    "guest": _BROWSER | {"view": {"search": 0.25, "product": 0.35, "leave": 0.40}},
}
# Median seconds a visitor stays before the next event; the logarithm's standard deviation is _SPREAD.
_STAY_S = {"view": 6.0, "search": 9.0, "product": 18.0, "cart": 10.0, "checkout": 25.0, "purchase": 5.0}
_SPREAD = 0.8
_LONGEST_GAP_S = 25 * 60.0  # sessions end after half an hour without an event
GAPS_DRAWN = 4096
STEPS_DRAWN = 1000


class Chain:
    """The chain of one persona as pools of next steps and of gaps by step, so that each costs one random number."""

    def __init__(self, steps: Mapping[str, Mapping[str, float]], gaps: Mapping[str, tuple[int, ...]]) -> None:
        self.steps = {state: _pool(following) for state, following in steps.items()}
        self.gaps_us = gaps

    def next_step(self, state: str, rng: random.Random) -> str:
        """The event type after this one."""
        return self.steps[state][int(rng.random() * STEPS_DRAWN)]

    def gap_us(self, state: str, rng: random.Random) -> int:
        """How long the visitor stays at this event, in microseconds."""
        return self.gaps_us[state][int(rng.random() * GAPS_DRAWN)]

    def path_to_cart(self, rng: random.Random, longest: int) -> list[str]:
        """The event types of a visit up to its first `cart`, of at most that many steps before it."""
        path = ["view"]
        while len(path) < longest and path[-1] != "cart":
            step = self.next_step(path[-1], rng)
            if step != "leave":
                path.append(step)
        return [*path[:-1], *(["cart"] if path[-1] == "cart" else [path[-1], "product", "cart"])]


@cache
def chains(seed: int, *, is_buying: bool) -> dict[str, Chain]:
    """The chain of each persona; in visits that buy nothing, a `leave` replaces the `purchase`."""
    gaps = _gaps(seed)
    return {
        persona: Chain({state: following if is_buying else _without_purchase(following) for state, following in steps.items()}, gaps)
        for persona, steps in CHAINS.items()
    }


def _without_purchase(following: Mapping[str, float]) -> dict[str, float]:
    rest = {state: share for state, share in following.items() if state != "purchase"}
    return rest | {"leave": rest.get("leave", 0.0) + following.get("purchase", 0.0)}


def _gaps(seed: int) -> dict[str, tuple[int, ...]]:
    rng = random.Random(f"{seed}:gaps")
    return {
        state: tuple(int(1e6 * min(rng.lognormvariate(math.log(median_s), _SPREAD), _LONGEST_GAP_S)) for _ in range(GAPS_DRAWN))
        for state, median_s in _STAY_S.items()
    }


def _pool(following: Mapping[str, float]) -> tuple[str, ...]:
    pool = [state for state, share in following.items() for _ in range(round(share * STEPS_DRAWN))]
    return tuple((pool + pool[-1:] * STEPS_DRAWN)[:STEPS_DRAWN])
