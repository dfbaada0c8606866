"""Rows of new users and new products."""

from __future__ import annotations

import json
import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from generator import pools
from generator.pools import CATEGORIES, REGIONS, TIERS, Pools

_MATERIALS = ("cotton", "steel", "oak", "glass", "paper", "recycled plastic", "wool")


def new_user(rng: random.Random, drawn: Pools, user_id: int, at: datetime, tier: str = "bronze") -> tuple[Any, ...]:
    """The values of one new account, in the order of `statements.USER_COLUMNS`."""
    region, country = some_home(rng)
    return (
        user_id,
        f"shopper{user_id}@{rng.choice(drawn.words).lower()}.example",  # the number keeps addresses unique
        rng.choice(drawn.names[country]),
        region,
        country,
        tier,
        rng.random() < 0.4,
        some_interests(rng),
        some_preferences(rng),
        some_birthday(rng) if rng.random() < 0.7 else None,
        at,
        at,
    )


def new_product(rng: random.Random, drawn: Pools, product_id: int, at: datetime) -> tuple[Any, ...]:
    """The values of one new article, in the order of `statements.PRODUCT_COLUMNS`; it starts fully stocked."""
    category = rng.choice(CATEGORIES)
    price = Decimal(round(100 * 3 ** rng.uniform(1, 5))) / 100  # 3 to 243 USD, most of them cheap
    return (
        product_id,
        f"{category[:3].upper()}-{product_id:06d}",
        " ".join(rng.sample(drawn.words, 2)),
        category,
        price,
        (price * Decimal(rng.randint(4000, 7000)) / 10000).quantize(Decimal("0.0001")),
        rng.randint(150, 400),
        round(rng.uniform(0.05, 12), 3),
        True,
        [word.lower() for word in rng.sample(drawn.words, rng.randint(1, 4))],
        json.dumps({"colour": rng.choice(drawn.colours), "material": rng.choice(_MATERIALS)}),
        rng.randbytes(32),
        pools.some_text(rng, drawn),
        at.date(),
        at,
        at,
    )


def some_home(rng: random.Random) -> tuple[str, str]:
    """A region and a country in it."""
    region = rng.choice(tuple(REGIONS))
    return region, rng.choice(REGIONS[region])


def some_interests(rng: random.Random) -> list[str]:
    """Up to three categories, in the order chosen."""
    return rng.sample(CATEGORIES, rng.randint(0, 3))


def some_preferences(rng: random.Random) -> str:
    """Settings of an account as the text of a JSON object."""
    chosen = {
        "language": rng.choice(("en", "de", "fr", "ja", "pt", "es")),
        "newsletter": rng.choice(("never", "weekly", "daily")),
        "dark_mode": rng.random() < 0.5,
    }
    return json.dumps(chosen)


def some_birthday(rng: random.Random) -> date:
    """A date of birth between 1945 and 2006."""
    return date(1945, 1, 1) + timedelta(days=rng.randrange(61 * 365))


def seeded_users(seed: int, drawn: Pools, ids: list[int]) -> list[tuple[Any, ...]]:
    """The initial accounts, opened during 2024."""
    rng = random.Random(f"{seed}:users")
    return [new_user(rng, drawn, number, _in_2024(rng), rng.choices(TIERS, (60, 25, 12, 3))[0]) for number in ids]


def seeded_products(seed: int, drawn: Pools, ids: list[int]) -> list[tuple[Any, ...]]:
    """The initial catalogue, entered during 2024."""
    rng = random.Random(f"{seed}:products")
    return [new_product(rng, drawn, number, _in_2024(rng)) for number in ids]


def _in_2024(rng: random.Random) -> datetime:
    return datetime.fromisoformat("2024-01-01T00:00:00+00:00") + timedelta(seconds=rng.randrange(365 * 86400))
