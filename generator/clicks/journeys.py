"""Visits of many visitors, interleaved in time order.

`take` returns exactly as many events as are due: those of visits whose next event has come, then first events of new visits. So the rate
is exact and the gaps are the chain's as long as the rate is steady; after a reduction, visits that are overdue end with a `leave`.
The sequence is determined by the seed and the calls; no clock is read here.
"""

from __future__ import annotations

import random
from collections import deque

from generator.clicks.chains import GAPS_DRAWN, STEPS_DRAWN, Chain, chains
from generator.clicks.events import Event, Visit, derived_id, microseconds, uuid_text, uuid_texts
from generator.clicks.visitors import Visitors
from generator.operation import Purchase
from generator.pools import CATEGORIES

_LONGEST_OVERDUE_US = 60_000_000
_LONGEST_PATH = 6
_SLOT_BITS = 17
_ENTRANCES = ("/",) * len(CATEGORIES) + tuple(f"/category/{category}" for category in CATEGORIES)
_SEARCHES = tuple(f"/search?q={category}" for category in CATEGORIES)
# A purchase is sent once its order is committed, so the visit that led to it is in the past by then: it is kept short.
_BUYERS_HASTE = 4
_BUYERS_LONGEST_GAP_US = 60_000_000


class _Walk:
    """The state of a visit that goes on: its next step and when that is due, and the product and page it is at."""

    __slots__ = ("chain", "due_us", "page", "product_id", "step", "visit")

    def __init__(self, visit: Visit, page: str, chain: Chain) -> None:
        self.visit, self.page, self.chain = visit, page, chain
        self.step, self.due_us = "view", 0
        self.product_id: int | None = None


class Journeys:
    """Generates the visits that buy nothing, and the visit of each purchase."""

    def __init__(self, seed: int, visitors: Visitors, stream: object = "") -> None:
        self.visitors = visitors
        self._seed = seed
        self._rng = random.Random(f"{seed}:journeys:{stream}")
        self._chains = chains(seed, is_buying=False)
        self._buying = chains(seed, is_buying=True)
        # Visits by the eighth of a second in which their next event is due: a heap takes six times as long.
        self._waiting: dict[int, list[_Walk]] = {}
        self._due: deque[_Walk] = deque()
        self._slot: int | None = None

    def take(self, count: int, begin_us: int, end_us: int) -> list[Event]:
        """That many events, evenly spread over the time from `begin_us` to `end_us` (excluded) and in its order."""
        events = []
        due, waiting, span = self._due, self._waiting, end_us - begin_us
        for number, event_id in enumerate(uuid_texts(self._rng, count)):
            at_us = begin_us + (2 * number + 1) * span // (2 * count)
            if at_us >> _SLOT_BITS != self._slot:
                self._turn(at_us >> _SLOT_BITS)
            if due:
                walk = due.popleft()
                if at_us - walk.due_us > _LONGEST_OVERDUE_US:
                    walk.step = "leave"
            else:
                walk = self._begin(at_us)
            event = self._advance(walk, at_us, event_id)
            events.append(event)
            if event.event_type != "leave":
                slot = walk.due_us >> _SLOT_BITS
                if slot <= self._slot:  # type: ignore[operator]
                    due.append(walk)
                elif slot in waiting:
                    waiting[slot].append(walk)
                else:
                    waiting[slot] = [walk]
        return events

    def visit(self, begin_us: int) -> list[Event]:
        """All events of one visit that begins at that instant and buys nothing."""
        walk = self._begin(begin_us)
        walk.due_us = begin_us
        events: list[Event] = []
        while not events or events[-1].event_type != "leave":
            events.append(self._advance(walk, walk.due_us, uuid_text(self._rng.getrandbits(128))))
        return events

    def buying(self, purchase: Purchase) -> list[Event]:
        """All events of the visit in which the order was made, always the same for an order and its visitor.

        The purchase is at `ordered_at`, the others within minutes around it.
        """
        rng = random.Random(f"{self._seed}:{purchase.order_id}:{purchase.checkout_id}")
        visit = self.visitors.buyer(purchase.user_id, rng)
        chain = self._buying[visit.visitor.persona]
        products = list(purchase.products) or [self.visitors.some_product(rng)[0]]
        steps = [(step, products[0]) for step in chain.path_to_cart(rng, _LONGEST_PATH)]
        steps += [(step, product) for product in products[1:] for step in ("product", "cart")]
        steps += [(step, products[-1]) for step in ("checkout", "purchase", "leave")]
        gaps = [min(chain.gap_us(step, rng) // _BUYERS_HASTE, _BUYERS_LONGEST_GAP_US) for step, _ in steps[:-1]]
        at_us = microseconds(purchase.ordered_at) - sum(gaps[:-1])
        pages = {"view": _entrance(rng), "search": _SEARCHES[int(rng.random() * len(_SEARCHES))], "cart": "/cart", "checkout": "/checkout"}
        order_page = f"/order/{purchase.order_id}"
        events: list[Event] = []
        for (step, product), gap_us in zip(steps, [*gaps, 0], strict=True):
            page = f"/product/{product}" if step == "product" else pages.get(step, order_page)
            events.append(_bought(purchase, step, product, at_us, visit, page, len(events)))
            at_us += gap_us
        return events

    def _turn(self, slot: int) -> None:
        """The visits whose next event comes up to that slot are due."""
        first = slot if self._slot is None else self._slot + 1
        # After a leap of the clock there are more slots than visits.
        passed = range(first, slot + 1) if slot - first < len(self._waiting) else sorted(key for key in self._waiting if key <= slot)
        for each in passed:
            self._due.extend(self._waiting.pop(each, ()))
        self._slot = slot

    def _begin(self, at_us: int) -> _Walk:
        visit = self.visitors.some(self._rng, at_us)
        return _Walk(visit, _entrance(self._rng), self._chains[visit.visitor.persona])

    def _advance(self, walk: _Walk, at_us: int, event_id: str) -> Event:
        """The event that the visit is at; then it is at its next one, which is due after a gap."""
        draw, step = self._rng.random, walk.step
        product_id = checkout_id = None
        if step == "product":
            product_id, walk.page = self.visitors.some_product(self._rng)
            walk.product_id = product_id
        elif step == "search":
            walk.page = _SEARCHES[int(draw() * len(_SEARCHES))]
        elif step == "cart":
            product_id, walk.page = walk.product_id, "/cart"
        elif step == "checkout":
            checkout_id, walk.page = uuid_text(self._rng.getrandbits(128)), "/checkout"
        event = Event(event_id, step, at_us, walk.visit, product_id, None, checkout_id, walk.page)
        if step != "leave":
            chain = walk.chain
            walk.due_us = at_us + chain.gaps_us[step][int(draw() * GAPS_DRAWN)]
            walk.step = chain.steps[step][int(draw() * STEPS_DRAWN)]
        return event


def purchase_id(purchase: Purchase) -> str:
    """The `event_id` of the order's purchase event: the same whenever it is sent.

    From the checkout too: after a crash, Postgres may give an order's number again.
    """
    return derived_id("order", purchase.order_id, purchase.checkout_id)


def _bought(purchase: Purchase, step: str, product: int, at_us: int, visit: Visit, page: str, number: int) -> Event:
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


def _entrance(rng: random.Random) -> str:
    return _ENTRANCES[int(rng.random() * len(_ENTRANCES))]
