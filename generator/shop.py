"""State of the shop between two operations: accounts, products and open orders."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime

from generator.operation import Article, Order, Snapshot
from generator.personas import GUEST, PERSONAS, Delays, next_stage, persona_of

_CANCELLED_KEPT = 1000
_DRAWS = 8  # random draws of an article that can be sold, before all articles are searched


class Shop:
    """The state from which operations are drawn; built from a snapshot, updated by the world."""

    def __init__(self, seed: int, snapshot: Snapshot, delays: Delays) -> None:
        self._seed = seed
        self._delays = delays
        self.users: list[int] = []
        self.tiers: dict[int, str] = {}
        self._by_persona: dict[str, list[int]] = {persona.name: [] for persona in PERSONAS}
        self.articles: dict[int, Article] = {}
        self._shelf: list[int] = []
        self.orders: dict[int, Order] = {}
        self._stages: list[tuple[datetime, int, str]] = []
        self.cancelled: deque[int] = deque(maxlen=_CANCELLED_KEPT)
        for user_id, tier in snapshot.users:
            self.add_user(user_id, tier)
        for article in snapshot.articles:
            self.add_article(article)
        for order in snapshot.orders:
            self.note_order(order)

    def add_user(self, user_id: int, tier: str) -> None:
        """Add a new account."""
        self.tiers[user_id] = tier
        self.users.append(user_id)
        self._by_persona[persona_of(self._seed, user_id).name].append(user_id)

    def drop_user(self, user_id: int) -> None:
        """Remove a closed account; its orders continue without it."""
        del self.tiers[user_id]
        for accounts in (self.users, self._by_persona[persona_of(self._seed, user_id).name]):
            accounts.remove(user_id)

    def add_article(self, article: Article) -> None:
        """Add a new article."""
        self.articles[article.product_id] = article
        self._shelf.append(article.product_id)

    def note_order(self, order: Order) -> None:
        """Record an order's current status and schedule the next one, or drop the order if there is none."""
        stage = next_stage(self._seed, order, self._delays)
        if stage:
            self.orders[order.order_id] = order
            heapq.heappush(self._stages, (stage[1], order.order_id, stage[0]))
            return
        self.orders.pop(order.order_id, None)
        if order.status == "cancelled":
            self.cancelled.append(order.order_id)

    @property
    def next_due_at(self) -> datetime | None:
        """When the next status change is due; None without open orders."""
        return self._stages[0][0] if self._stages else None

    def pop_due(self) -> tuple[Order, str]:
        """The order whose next status is due first, and that status."""
        _, order_id, status = heapq.heappop(self._stages)
        return self.orders[order_id], status

    def some_user(self, rng: random.Random, weigh: Callable[[str], float]) -> int | None:
        """A user: first a persona by weight, then any user of it; None for a guest."""
        weights = [weigh(persona.name) * len(self._by_persona[persona.name]) for persona in PERSONAS]
        total = sum(weights)
        names = [persona.name for persona in PERSONAS] + [GUEST.name]
        chosen = rng.choices(names, [*weights, weigh(GUEST.name) * total or (not total)])[0]
        return rng.choice(self._by_persona[chosen]) if chosen != GUEST.name else None

    def some_article(self, rng: random.Random) -> Article:
        """An article; the first ones are drawn most often, so that a few articles sell best."""
        return self.articles[self._shelf[int(len(self._shelf) * rng.random() ** 1.8)]]

    def some_to_sell(self, rng: random.Random, units: int, besides: Sequence[int]) -> Article | None:
        """An active article with that many units in stock that is not in `besides`; None if there is none."""
        for article in (self.some_article(rng) for _ in range(_DRAWS)):
            if _can_sell(article, units, besides):
                return article
        return next((article for article in self.articles.values() if _can_sell(article, units, besides)), None)


def _can_sell(article: Article, units: int, besides: Sequence[int]) -> bool:
    return article.is_active and article.stock >= units and article.product_id not in besides
