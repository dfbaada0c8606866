"""Names, addresses and sentences generated in advance, because a call of Faker takes up to a millisecond."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from faker import Faker

REGIONS: dict[str, tuple[str, ...]] = {
    "AMER": ("US", "CA"),
    "EMEA": ("DE", "FR", "PL"),
    "APAC": ("JP", "AU"),
    "LATAM": ("BR", "MX"),
}
TIERS = ("bronze", "silver", "gold", "platinum")
CATEGORIES = ("books", "electronics", "fashion", "garden", "grocery", "home", "sports", "toys")
COUPONS = ("WELCOME10", "SPRING15", "LOYAL20")  # the digits are the discount in percent
_LOCALES = {
    "US": "en_US",
    "CA": "fr_CA",
    "DE": "de_DE",
    "FR": "fr_FR",
    "PL": "pl_PL",
    "JP": "ja_JP",
    "AU": "en_AU",
    "BR": "pt_BR",
    "MX": "es_MX",
}
_NAMES_A_COUNTRY = 60
_ADDRESSES_A_COUNTRY = 30
_SENTENCES = 300


@dataclass(frozen=True)
class Pools:
    """Pools of values; names and addresses by country, an address as the text of a JSON object."""

    names: dict[str, tuple[str, ...]]
    addresses: dict[str, tuple[str, ...]]
    sentences: tuple[str, ...]
    words: tuple[str, ...]
    colours: tuple[str, ...]


def build(seed: int) -> Pools:
    """The pools of that seed, reproducible with the same version of Faker. Takes about a second."""
    names, addresses = {}, {}
    for country, locale in _LOCALES.items():
        fake = Faker(locale)
        fake.seed_instance(f"{seed}:{locale}")
        names[country] = tuple(fake.name() for _ in range(_NAMES_A_COUNTRY))
        addresses[country] = tuple(_address(fake, country) for _ in range(_ADDRESSES_A_COUNTRY))
    fake = Faker("en_US")
    fake.seed_instance(f"{seed}:text")
    return Pools(
        names=names,
        addresses=addresses,
        sentences=tuple(fake.sentence(nb_words=14) for _ in range(_SENTENCES)),
        words=tuple(sorted({fake.word().capitalize() for _ in range(200)})),
        colours=tuple(sorted({fake.color_name() for _ in range(40)})),
    )


def _address(fake: Faker, country: str) -> str:
    address = {"street": fake.street_address(), "city": fake.city(), "postcode": fake.postcode(), "country": country}
    return json.dumps(address, ensure_ascii=False, sort_keys=True)


def some_text(rng: random.Random, pools: Pools) -> str:
    """A description of 3 to 6 kB, long enough to be stored out of line (from 2 kB on)."""
    return " ".join(rng.choices(pools.sentences, k=rng.randint(40, 65)))
