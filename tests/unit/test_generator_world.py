"""The simulated shop is reproducible by its seed, and its operations are consistent."""

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import count, pairwise
from typing import Any

from generator import backfill, entries, pools, statements
from generator.curves import busyness
from generator.operation import Article, Operation, Order, Snapshot
from generator.personas import FAST, REAL, next_stage
from generator.pools import Pools
from generator.world import WEIGHTS, World

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
NEXT = {"placed": {"paid", "cancelled"}, "paid": {"shipped", "cancelled"}, "shipped": {"delivered"}, "delivered": {"returned"}}


@cache
def drawn(seed: int = 1) -> Pools:
    return pools.build(seed)


@cache
def seeded() -> Snapshot:
    users = entries.seeded_users(1, drawn(), list(range(1, 101)))
    products = entries.seeded_products(1, drawn(), list(range(1, 51)))
    return Snapshot(
        users=tuple((row[0], row[5]) for row in users),
        articles=tuple(Article(row[0], row[4], row[6], is_active=True) for row in products),
    )


def keys() -> Callable[[str], int]:
    """Stands for the database's sequences after seeding."""
    counters = {"users": count(101), "products": count(51), "orders": count(1)}
    return lambda table: next(counters[table])


def world(seed: int = 1, **options: Any) -> World:
    # The articles are mutable, so each world gets its own.
    snapshot = Snapshot(seeded().users, tuple(Article(**vars(article)) for article in seeded().articles))
    return World(seed, drawn(), snapshot, keys(), **options)


def live(steps: int, seed: int = 1, start: datetime = MONDAY) -> list[Operation]:
    """Operations of a shop that runs at 5 per second."""
    shop = world(seed)
    return [shop.step(start + timedelta(seconds=0.2 * number)) for number in range(steps)]


def without_times(operations: list[Operation]) -> list[Any]:
    return [(op.kind, [(s.sql, [value for value in s.values if not isinstance(value, date)]) for s in op.statements]) for op in operations]


def test_the_same_seed_gives_the_same_sequence() -> None:
    assert live(3000) == live(3000)


def test_another_seed_gives_another_sequence() -> None:
    assert without_times(live(100)) != without_times(live(100, seed=2))


def test_the_sequence_does_not_depend_on_when_it_runs() -> None:
    assert without_times(live(3000)) == without_times(live(3000, start=MONDAY + timedelta(days=200, hours=7)))


def test_within_ten_minutes_every_kind_of_step_and_every_status_occurs() -> None:
    kinds = Counter(operation.kind for operation in live(3000))
    wanted = {*WEIGHTS, "paid", "shipped", "delivered", "cancelled", "returned"}
    assert wanted - set(kinds) == set()


def test_a_purchase_is_one_operation_whose_parts_agree() -> None:
    purchases = [operation for operation in live(2000) if operation.kind == "purchase"]
    assert len(purchases) > 100
    for purchase in purchases:
        order, lines, stock = (statement.values for statement in purchase.statements)
        order_id, line_numbers, articles, units, prices = lines[0], *lines[2:]
        assert order_id == order[0]
        assert line_numbers == list(range(1, len(units) + 1))
        assert order[4] == sum((price * number for price, number in zip(prices, units, strict=True)), Decimal(0))
        assert stock[1:] == (articles, [-number for number in units])
        assert len(set(articles)) == len(articles)
    assert {purchase.statements[0].values[1] is None for purchase in purchases} == {True, False}, "guests and accounts order"


def test_stock_never_falls_below_zero() -> None:
    stock = {article.product_id: article.stock for article in seeded().articles}
    for operation in live(5000):
        for statement in operation.statements:
            if statement.sql == statements.INSERT_PRODUCT:
                stock[statement.values[0]] = statement.values[6]
            if statement.sql == statements.MOVE_STOCK:
                for product_id, units in zip(*statement.values[1:], strict=True):
                    stock[product_id] += units
                    assert stock[product_id] >= 0, operation


def test_an_order_only_takes_statuses_that_follow_each_other() -> None:
    statuses: dict[int, str] = {}
    for operation in live(5000):
        for statement in operation.statements:
            if statement.sql == statements.INSERT_ORDER:
                statuses[statement.values[0]] = statement.values[2]
            if statement.sql == statements.SET_STATUS:
                status, _, order_id = statement.values
                assert status in NEXT[statuses[order_id]]
                statuses[order_id] = status


def test_a_deleted_account_does_nothing_more() -> None:
    deleted: set[int] = set()
    for operation in live(5000):
        for statement in operation.statements:
            if statement.sql == statements.DELETE_USER:
                deleted.add(statement.values[0])
            elif statement.sql.startswith("UPDATE shop.users"):
                assert statement.values[-1] not in deleted
            elif statement.sql == statements.INSERT_ORDER:
                assert statement.values[1] not in deleted
    assert deleted


def test_a_world_rebuilt_from_the_database_plans_its_orders_as_before() -> None:
    order = Order(7, 3, "shipped", MONDAY, ((1, 2),))
    rebuilt = World(1, drawn(), Snapshot(orders=(order,), articles=seeded().articles), keys(), delays=FAST)
    planned = next_stage(1, order, FAST)
    assert planned is not None
    assert rebuilt.shop.next_due_at == planned[1]
    assert rebuilt.shop.pop_due() == (order, "delivered")


def test_descriptions_are_long_enough_to_be_stored_out_of_line() -> None:
    rows = entries.seeded_products(1, drawn(), list(range(1, 51)))
    assert min(len(row[12].encode()) for row in rows) > 2500


def test_seeded_rows_follow_from_the_seed() -> None:
    assert entries.seeded_users(1, drawn(), [1, 2]) == entries.seeded_users(1, drawn(), [1, 2])
    assert entries.seeded_users(1, drawn(), [1, 2]) != entries.seeded_users(2, drawn(), [1, 2])
    assert pools.build(1) == drawn()


def past(days: int, orders_per_day: int = 80) -> list[Operation]:
    return list(backfill.past(world(delays=REAL), MONDAY, MONDAY + timedelta(days=days), orders_per_day))


def test_the_past_is_written_in_order_and_every_day_has_orders() -> None:
    operations = past(14)
    assert all(before.at <= after.at for before, after in pairwise(operations))
    assert operations[-1].at <= MONDAY + timedelta(days=14)
    a_day = Counter(operation.at.date() for operation in operations if operation.kind == "purchase")
    assert len(a_day) == 14
    assert 70 < sum(a_day.values()) / 14 < 90
    assert {"paid", "shipped", "delivered", "cancelled", "returned"} <= {operation.kind for operation in operations}


def test_the_past_follows_the_hours() -> None:
    by_hour: dict[int, int] = defaultdict(int)
    for operation in past(14):
        by_hour[operation.at.hour] += operation.kind == "purchase"
    assert sum(by_hour[hour] for hour in range(18, 22)) > 4 * sum(by_hour[hour] for hour in range(1, 5))


def test_the_mean_of_the_curve_over_a_week_is_one() -> None:
    minutes = [busyness(MONDAY + timedelta(minutes=number)) for number in range(7 * 24 * 60)]
    assert abs(sum(minutes) / len(minutes) - 1) < 0.001


def test_a_backfill_continues_from_the_newest_order() -> None:
    assert backfill.begin_at(MONDAY, 30, None) == MONDAY - timedelta(days=30)
    assert backfill.begin_at(MONDAY, 30, MONDAY - timedelta(days=2)) == MONDAY - timedelta(days=2)
    assert backfill.begin_at(MONDAY, 30, MONDAY - timedelta(days=90)) == MONDAY - timedelta(days=30)


def test_a_curved_live_shop_has_fewer_purchases_at_night() -> None:
    def purchases(hour: int) -> int:
        shop = world(is_curved=True)
        return sum(shop.act(MONDAY + timedelta(hours=hour)).kind == "purchase" for _ in range(500))

    assert purchases(20) > 1.5 * purchases(3)
