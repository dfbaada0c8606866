"""Shopper profiles, and the life cycle of an order.

None of this is stored in the database: a user's persona and an order's stages are derived from the seed and the key, so that a world
rebuilt from the database continues like the one before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from generator.operation import Order


@dataclass(frozen=True, kw_only=True)
class Persona:
    """A kind of shopper: its share of accounts, its activity relative to others, and its probabilities (0 to 1)."""

    name: str
    share: float
    orders: float
    edits: float
    max_lines: int
    coupon: float
    cancels: float
    returns: float


PERSONAS = (
    Persona(name="bargain_hunter", share=0.25, orders=1.2, edits=0.8, max_lines=3, coupon=0.6, cancels=0.12, returns=0.08),
    Persona(name="loyal", share=0.25, orders=2.2, edits=1.2, max_lines=5, coupon=0.15, cancels=0.03, returns=0.04),
    Persona(name="browser", share=0.35, orders=0.3, edits=1.5, max_lines=2, coupon=0.1, cancels=0.2, returns=0.06),
    Persona(name="returner", share=0.15, orders=1.0, edits=0.5, max_lines=4, coupon=0.1, cancels=0.06, returns=0.45),
)
GUEST = Persona(name="guest", share=0.0, orders=0.12, edits=0.0, max_lines=3, coupon=0.05, cancels=0.08, returns=0.05)


@dataclass(frozen=True)
class Delays:
    """The duration of each stage of an order, in seconds, as (minimum, maximum)."""

    pay: tuple[float, float]
    cancel: tuple[float, float]
    ship: tuple[float, float]
    deliver: tuple[float, float]
    send_back: tuple[float, float]


_HOUR, _DAY = 3600.0, 86400.0
# Realistic delays, for simulated past days.
REAL = Delays(
    pay=(60, 900), cancel=(1800, 2 * _HOUR), ship=(6 * _HOUR, 40 * _HOUR), deliver=(_DAY, 4 * _DAY), send_back=(3 * _DAY, 9 * _DAY)
)
# Short delays, for the live shop: every status occurs within ten minutes.
FAST = Delays(pay=(5, 30), cancel=(10, 60), ship=(20, 60), deliver=(30, 90), send_back=(60, 180))


def chance(*parts: object) -> float:
    """A number in [0, 1) derived from the parts, the same on every machine."""
    digest = hashlib.blake2b(":".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def persona_of(seed: int, user_id: int | None) -> Persona:
    """The persona of an account; None is a guest."""
    if user_id is None:
        return GUEST
    point = chance(seed, "persona", user_id)
    for persona in PERSONAS:
        if point < persona.share:
            return persona
        point -= persona.share
    return PERSONAS[-1]


def next_stage(seed: int, order: Order, delays: Delays) -> tuple[str, datetime] | None:
    """The next status of an order and its time; None if the order is final."""
    persona = persona_of(seed, order.user_id)
    luck = chance(seed, order.order_id, order.status)
    if order.status == "placed":
        status, delay = ("cancelled", delays.cancel) if luck < persona.cancels else ("paid", delays.pay)
    elif order.status == "paid":
        status, delay = ("cancelled", delays.cancel) if luck < 0.03 else ("shipped", delays.ship)
    elif order.status == "shipped":
        status, delay = "delivered", delays.deliver
    elif order.status == "delivered" and luck < persona.returns:
        status, delay = "returned", delays.send_back
    else:
        return None
    seconds = delay[0] + (delay[1] - delay[0]) * chance(seed, order.order_id, order.status, "delay")
    return status, order.changed_at + timedelta(seconds=round(seconds, 3))
