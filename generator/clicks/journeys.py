"""Visits of many visitors, interleaved in time order.

`take` returns exactly as many events as are due: those of visits whose next event has come, then first events of new visits. So the rate
is exact and the gaps are the chain's as long as the rate is steady; after a reduction, visits that are overdue end with a `leave`.
The sequence is determined by the seed and the calls; no clock is read here.
"""

from __future__ import annotations

import heapq
import random

from generator.clicks.chains import chains
from generator.clicks.events import Event, Visit, derived_id, microseconds, uuid_text
from generator.clicks.visitors import Visitors
from generator.operation import Purchase
from generator.pools import CATEGORIES

_LONGEST_OVERDUE_US = 60_000_000
_LONGEST_PATH = 6
# A purchase is sent once its order is committed, so the visit that led to it is in the past by then: it is kept short.
_BUYERS_HASTE = 4
_BUYERS_LONGEST_GAP_US = 60_000_000


class _Walk:
    """The state of a visit that goes on: its next step, and the product and page it is at."""

    __slots__ = ("page", "product_id", "step", "visit")

    def __init__(self, visit: Visit, page: str) -> None:
        self.visit, self.page = visit, page
        self.step = "view"
        self.product_id: int | None = None


class Journeys:
    """Generates the visits that buy nothing, and the visit of each purchase."""

    def __init__(self, seed: int, visitors: Visitors, stream: object = "") -> None:
        self.visitors = visitors
        self._seed = seed
        self._rng = random.Random(f"{seed}:journeys:{stream}")
        self._chains = chains(seed, is_buying=False)
        self._buying = chains(seed, is_buying=True)
        self._walks: list[tuple[int, int, _Walk]] = []
        self._count = 0

    def take(self, count: int, begin_us: int, end_us: int) -> list[Event]:
        """That many events, evenly spread over the time from `begin_us` to `end_us` (excluded) and in its order."""
        events = []
        walks, span = self._walks, end_us - begin_us
        for number in range(count):
            at_us = begin_us + (2 * number + 1) * span // (2 * count)
            if walks and walks[0][0] <= at_us:
                due_us, _, walk = heapq.heappop(walks)
                if at_us - due_us > _LONGEST_OVERDUE_US:
                    walk.step = "leave"
            else:
                walk = _Walk(self.visitors.some(self._rng, at_us), _entrance(self._rng))
            event, next_us = self._advance(walk, at_us)
            events.append(event)
            if next_us is not None:
                self._count += 1
                heapq.heappush(walks, (next_us, self._count, walk))
        return events

    def visit(self, begin_us: int) -> list[Event]:
        """All events of one visit that begins at that instant and buys nothing."""
        walk = _Walk(self.visitors.some(self._rng, begin_us), _entrance(self._rng))
        event, next_us = self._advance(walk, begin_us)
        events = [event]
        while next_us is not None:
            event, next_us = self._advance(walk, next_us)
            events.append(event)
        return events

    def buying(self, purchase: Purchase) -> list[Event]:
        """All events of the visit in which the order was made, always the same for an order and its visitor.

        The purchase is at `ordered_at`, the others within about a minute around it.
        """
        rng = random.Random(f"{self._seed}:{purchase.order_id}:{purchase.checkout_id}")
        visit = self.visitors.buyer(purchase.user_id, rng)
        chain = self._buying[visit.visitor.persona]
        products = list(purchase.products) or [self.visitors.some_product(rng)]
        steps = [(step, products[0]) for step in chain.path_to_cart(rng, _LONGEST_PATH)]
        steps += [(step, product) for product in products[1:] for step in ("product", "cart")]
        steps += [(step, products[-1]) for step in ("checkout", "purchase", "leave")]
        gaps = [min(chain.gap_us(step, rng) // _BUYERS_HASTE, _BUYERS_LONGEST_GAP_US) for step, _ in steps[:-1]]
        at_us = microseconds(purchase.ordered_at) - sum(gaps[:-1])
        page = _entrance(rng)
        events: list[Event] = []
        for (step, product), gap_us in zip(steps, [*gaps, 0], strict=True):
            page = _page(step, product, page, purchase.order_id, rng)
            events.append(self._bought(purchase, step, product, at_us, visit, page, len(events)))
            at_us += gap_us
        return events

    def _bought(self, purchase: Purchase, step: str, product: int, at_us: int, visit: Visit, page: str, number: int) -> Event:
        return Event(
            purchase_id(purchase) if step == "purchase" else derived_id(purchase.order_id, purchase.checkout_id, number),
            step,
            at_us,
            visit,
            product if step in ("product", "cart") else None,
            purchase.order_id if step == "purchase" else None,
            purchase.checkout_id if step in ("checkout", "purchase") else None,
            page,
        )

    def _advance(self, walk: _Walk, at_us: int) -> tuple[Event, int | None]:
        """The event that the visit is at, and when its next one is due; None after its last."""
        rng, step = self._rng, walk.step
        if step == "product":
            walk.product_id = self.visitors.some_product(rng)
        product_id = walk.product_id if step in ("product", "cart") else None
        walk.page = _page(step, walk.product_id, walk.page, None, rng)
        checkout_id = uuid_text(rng.getrandbits(128)) if step == "checkout" else None
        event = Event(uuid_text(rng.getrandbits(128)), step, at_us, walk.visit, product_id, None, checkout_id, walk.page)
        if step == "leave":
            return event, None
        chain = self._chains[walk.visit.visitor.persona]
        walk.step = chain.next_step(step, rng)
        return event, at_us + chain.gap_us(step, rng)


def purchase_id(purchase: Purchase) -> str:
    """The `event_id` of the order's purchase event: the same whenever it is sent.

    From the checkout too: after a crash, Postgres may give an order's number again.
    """
    return derived_id("order", purchase.order_id, purchase.checkout_id)


def _entrance(rng: random.Random) -> str:
    return "/" if rng.random() < 0.5 else f"/category/{rng.choice(CATEGORIES)}"


def _page(step: str, product_id: int | None, before: str, order_id: int | None, rng: random.Random) -> str:
    match step:
        case "search":
            return f"/search?q={CATEGORIES[int(len(CATEGORIES) * rng.random())]}"
        case "product":
            return f"/product/{product_id}"
        case "cart":
            return "/cart"
        case "checkout":
            return "/checkout"
        case "purchase":
            return f"/order/{order_id}"
    return before
