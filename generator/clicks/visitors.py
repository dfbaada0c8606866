"""Who visits the shop: its accounts and a pool of guests, by region, more of them where it is evening."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from generator.clicks.events import Visit, Visitor, moment, uuid_text
from generator.curves import busyness
from generator.personas import GUEST, persona_of
from generator.pools import REGIONS

# Hours by which the region's day is ahead of UTC, of its most populous part.
UTC_OFFSET_H = {"AMER": -5, "EMEA": 1, "APAC": 9, "LATAM": -3}
DEVICES = ("phone", "phone", "phone", "desktop", "desktop", "tablet")
_GUEST_SHARE = 0.4
_GUESTS_A_REGION = 5_000
_CURVE_EVERY_US = 60_000_000
_REGIONS_DRAWN = 1000


class Account(NamedTuple):
    """A user of the shop with their home."""

    user_id: int
    region: str
    country: str


class Visitors:
    """Draws the visitor of each new session; `accounts` and `products` may be replaced while sessions go on."""

    def __init__(self, seed: int, accounts: Iterable[Account], products: Sequence[int]) -> None:
        self._seed = seed
        self._curve_at_us, self._by_load = -_CURVE_EVERY_US, [next(iter(REGIONS))]
        self._known: dict[object, Visitor] = {}
        self.renew(accounts, products)

    def renew(self, accounts: Iterable[Account], products: Sequence[int]) -> None:
        """Use these accounts and products from now on."""
        self._accounts = {account.user_id: account for account in accounts}
        self._by_region: dict[str, list[Account]] = {region: [] for region in REGIONS}
        for account in self._accounts.values():
            self._by_region.setdefault(account.region, []).append(account)
        self._products = [(product, f"/product/{product}") for product in products or [1]]

    def some(self, rng: random.Random, at_us: int) -> Visit:
        """A session of some visitor that begins at that instant."""
        if abs(at_us - self._curve_at_us) >= _CURVE_EVERY_US:
            self._curve_at_us = at_us
            # Drawn once a minute: a draw by weight takes a microsecond.
            self._by_load = rng.choices(list(REGIONS), [load(region, at_us) for region in REGIONS], k=_REGIONS_DRAWN)
        region = self._by_load[int(_REGIONS_DRAWN * rng.random())]
        accounts = self._by_region[region]
        if accounts and rng.random() >= _GUEST_SHARE:
            return _session(self._user(accounts[int(len(accounts) * rng.random())]), rng)
        return _session(self._guest(region, int(_GUESTS_A_REGION * rng.random())), rng)

    def buyer(self, user_id: int | None, rng: random.Random) -> Visit:
        """A session of whoever made an order; a guest and an unknown account visit from a region that is drawn."""
        region = rng.choice(list(REGIONS))
        if user_id is None:
            return _session(self._guest(region, int(_GUESTS_A_REGION * rng.random())), rng)
        return _session(self._user(self._accounts.get(user_id, Account(user_id, region, REGIONS[region][0]))), rng)

    def some_product(self, rng: random.Random) -> tuple[int, str]:
        """A product and its page; a few are seen most, as a few sell best."""
        return self._products[int(len(self._products) * rng.random() ** 1.8)]

    def _user(self, account: Account) -> Visitor:
        known = self._known.get(account)
        return known or self._new(account, "user", account.user_id, *account, persona_of(self._seed, account.user_id).name)

    def _guest(self, region: str, number: int) -> Visitor:
        known = self._known.get((region, number))
        return known or self._new(
            (region, number), region, number, None, region, REGIONS[region][number % len(REGIONS[region])], GUEST.name
        )

    def _new(self, key: object, kind: str, number: int, user_id: int | None, region: str, country: str, persona: str) -> Visitor:
        visitor_id = hashlib.blake2b(f"{self._seed}:{kind}:{number}".encode(), digest_size=10).hexdigest()
        self._known[key] = Visitor(visitor_id, user_id, region, country, persona)
        return self._known[key]


def load(region: str, at_us: int) -> float:
    """The region's load by its own time of day; the mean over a week is 1."""
    return busyness(moment(at_us) + timedelta(hours=UTC_OFFSET_H[region]))


def _session(visitor: Visitor, rng: random.Random) -> Visit:
    return Visit(visitor, uuid_text(rng.getrandbits(128)), DEVICES[int(len(DEVICES) * rng.random())])
