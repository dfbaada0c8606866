"""The simulated shop: each call returns one business operation as data.

The sequence is determined by the seed, the initial state of the database and the given instants; no clock is read here.
`act` is an operation of a shopper or merchandiser, `advance` a status change of an order; `step` mixes both for the live shop.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from generator import entries, pools, statements
from generator.curves import busyness
from generator.operation import Article, Operation, Order, Purchase, Snapshot, Statement
from generator.personas import FAST, GUEST, PERSONAS, Delays, Persona, persona_of
from generator.pools import COUPONS, TIERS, Pools
from generator.shop import Shop

# Relative frequency of each kind of operation.
WEIGHTS = {
    "purchase": 300,
    "edit_profile": 220,
    "restock": 140,
    "change_price": 120,
    "sign_up": 60,
    "edit_article": 25,
    "delete_account": 20,
    "purge_order": 10,
    "add_article": 3,
}
PURCHASE_SHARE = WEIGHTS["purchase"] / sum(WEIGHTS.values())
_BY_SHOPPERS = ("purchase", "edit_profile", "sign_up", "delete_account")
_ADVANCE_SHARE = 0.7  # of live steps while an order is due, so that a backlog drains and other operations continue
_FEWEST_USERS = 20
_LOW_STOCK = 150
_CENT = Decimal("0.01")
_PERSONAS = {persona.name: persona for persona in (*PERSONAS, GUEST)}


class World:
    """Generates the operations of the shop. `reserve` returns the next key of a table."""

    def __init__(
        self,
        seed: int,
        drawn: Pools,
        snapshot: Snapshot,
        reserve: Callable[[str], int],
        *,
        delays: Delays = FAST,
        is_curved: bool = False,
    ) -> None:
        self._seed = seed
        self._drawn = drawn
        self._reserve = reserve
        self._is_curved = is_curved
        self._sold: Purchase | None = None
        self.shop = Shop(seed, snapshot, delays)
        # Depends on the database's state, so that a restart does not repeat the draws of the previous run.
        self._rng = random.Random(f"{seed}:{snapshot.last_order_id}:{len(snapshot.users)}")

    def step(self, at: datetime) -> Operation:
        """The live shop's next operation: a status change that is due, or `act`."""
        due_at = self.shop.next_due_at
        if due_at and due_at <= at and self._rng.random() < _ADVANCE_SHARE:
            return self.advance(at)
        return self.act(at)

    def act(self, at: datetime) -> Operation:
        """An operation of a shopper or a merchandiser."""
        kinds = {kind: weight * busyness(at) if self._is_curved and kind in _BY_SHOPPERS else weight for kind, weight in WEIGHTS.items()}
        kind = self._rng.choices(list(kinds), list(kinds.values()))[0]
        self._sold = None
        done: list[Statement] = getattr(self, f"_{kind}")(at)
        if not done:  # no user, article or order for this operation
            kind, done = "sign_up", self._sign_up(at)
        return Operation(kind, at, tuple(done), self._sold)

    def advance(self, at: datetime) -> Operation:
        """The next status change that is due; units of a cancelled or returned order are restocked."""
        order, status = self.shop.pop_due()
        done = [Statement(statements.SET_STATUS, (status, at, order.order_id))]
        if status in ("cancelled", "returned") and order.lines:
            done.append(statements.move_stock(at, order.lines, +1))
            self._move(order.lines, +1)
        self.shop.note_order(Order(order.order_id, order.user_id, status, at, order.lines))
        return Operation(status, at, tuple(done))

    def _purchase(self, at: datetime) -> list[Statement]:
        user_id = self.shop.some_user(self._rng, lambda name: _PERSONAS[name].orders)
        persona = persona_of(self._seed, user_id)
        coupon = self._rng.choice(COUPONS) if self._rng.random() < persona.coupon else None
        chosen = self._basket(persona)
        if not chosen:
            return []
        discount = Decimal(int(coupon[-2:]) if coupon else 0) / 100
        prices = [max((article.price_usd * (1 - discount)).quantize(_CENT), _CENT) for article, _ in chosen]
        units = [count for _, count in chosen]
        articles = [article.product_id for article, _ in chosen]
        order_id = self._reserve("orders")
        order = Order(order_id, user_id, "placed", at, tuple(zip(articles, units, strict=True)))
        total = sum((price * count for price, count in zip(prices, units, strict=True)), Decimal(0))
        checkout = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        self._move(order.lines, -1)
        self.shop.note_order(order)
        self._sold = Purchase(order_id, user_id, checkout, at, tuple(articles))
        return [
            Statement(statements.INSERT_ORDER, (order_id, user_id, "placed", at, total, coupon, self._address(), checkout, at)),
            Statement(statements.INSERT_LINES, (order_id, at, list(range(1, len(units) + 1)), articles, units, prices)),
            statements.move_stock(at, order.lines, -1),
        ]

    def _basket(self, persona: Persona) -> list[tuple[Article, int]]:
        chosen: list[tuple[Article, int]] = []
        for _ in range(self._rng.randint(1, persona.max_lines)):
            units = self._rng.choices((1, 2, 3, 5), (70, 20, 8, 2))[0]
            article = self.shop.some_to_sell(self._rng, units, [article.product_id for article, _ in chosen])
            if article:
                chosen.append((article, units))
        return chosen

    def _move(self, lines: tuple[tuple[int, int], ...], sign: int) -> None:
        for product_id, units in lines:
            if product_id in self.shop.articles:
                self.shop.articles[product_id].stock += sign * units

    def _address(self) -> str:
        return self._rng.choice(self._drawn.addresses[entries.some_home(self._rng)[1]])

    def _sign_up(self, at: datetime) -> list[Statement]:
        row = entries.new_user(self._rng, self._drawn, self._reserve("users"), at)
        self.shop.add_user(row[0], "bronze")
        return [Statement(statements.INSERT_USER, row)]

    def _edit_profile(self, at: datetime) -> list[Statement]:
        user_id = self.shop.some_user(self._rng, lambda name: _PERSONAS[name].edits)
        if user_id is None:
            return []
        rng = self._rng
        match rng.choices(("home", "tier", "interests", "preferences", "mail", "birthday", "address"), (20, 20, 20, 15, 10, 5, 10))[0]:
            case "home":
                region, country = entries.some_home(rng)
                return [statements.set_user(at, user_id, region=region, country=country)]
            case "tier":
                step = 1 if rng.random() < 0.6 else -1
                tier = TIERS[min(max(TIERS.index(self.shop.tiers[user_id]) + step, 0), len(TIERS) - 1)]
                self.shop.tiers[user_id] = tier
                return [statements.set_user(at, user_id, tier=tier)]
            case "interests":
                return [statements.set_user(at, user_id, interests=entries.some_interests(rng))]
            case "preferences":
                return [statements.set_user(at, user_id, preferences=entries.some_preferences(rng))]
            case "mail":
                return [statements.set_user(at, user_id, marketing_opt_in=rng.random() < 0.5)]
            case "birthday":  # set to NULL as often as to a date
                return [statements.set_user(at, user_id, birth_on=entries.some_birthday(rng) if rng.random() < 0.5 else None)]
            case _:
                word = rng.choice(self._drawn.words).lower()
                return [statements.set_user(at, user_id, email=f"shopper{user_id}@{word}.example")]

    def _delete_account(self, at: datetime) -> list[Statement]:
        if len(self.shop.users) <= _FEWEST_USERS:
            return []
        user_id = self._rng.choice(self.shop.users)
        self.shop.drop_user(user_id)
        return [Statement(statements.DELETE_USER, (user_id,))]

    def _restock(self, at: datetime) -> list[Statement]:
        article = min((self.shop.some_article(self._rng) for _ in range(6)), key=lambda article: article.stock)
        # A well-stocked article gets an inventory correction instead, always downwards.
        units = self._rng.randint(50, 200) if article.stock < _LOW_STOCK else -self._rng.randint(1, 5)
        article.stock += units
        return [statements.move_stock(at, ((article.product_id, units),), +1)]

    def _change_price(self, at: datetime) -> list[Statement]:
        article = self.shop.some_article(self._rng)
        factor = Decimal(self._rng.choice((80, 90, 95, 98, 102, 105, 110, 125))) / 100
        article.price_usd = min(max((article.price_usd * factor).quantize(_CENT), Decimal("1.00")), Decimal("999.00"))
        return [statements.set_product(at, article.product_id, price_usd=article.price_usd)]

    def _edit_article(self, at: datetime) -> list[Statement]:
        article = self.shop.some_article(self._rng)
        if self._rng.random() < 0.5:  # the only operation that rewrites the long text
            return [statements.set_product(at, article.product_id, description=pools.some_text(self._rng, self._drawn))]
        article.is_active = not article.is_active or self._rng.random() < 0.3
        return [statements.set_product(at, article.product_id, is_active=article.is_active)]

    def _add_article(self, at: datetime) -> list[Statement]:
        row = entries.new_product(self._rng, self._drawn, self._reserve("products"), at)
        self.shop.add_article(Article(row[0], row[4], row[6], is_active=True))
        return [Statement(statements.INSERT_PRODUCT, row)]

    def _purge_order(self, at: datetime) -> list[Statement]:
        if not self.shop.cancelled:
            return []
        return [Statement(statements.DELETE_ORDER, (self.shop.cancelled.popleft(),))]
