"""A sample lake with plausible figures, generated in a second without Spark: `python -m tests.sample_lake FOLDER` writes one.

It has only the tables and columns that the boards read, and is determined by the seed and `now`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from lakehouse import platform_tables, tables
from lakehouse.contract import Table
from lakehouse.definitions import COUNTED_STATUSES
from tests import delta_files

CATEGORIES = {"audio": 90, "books": 18, "garden": 55, "home": 70, "outdoor": 120, "sports": 65, "toys": 25}
REGIONS = ("AMER", "APAC", "EMEA", "LATAM")
TIERS = ("bronze", "silver", "gold", "platinum")
_WORDS = ("Oak", "Nordic", "Pocket", "Classic", "Alpine", "Copper", "Quiet", "Rapid", "Little", "Harbour")
_THINGS = {
    "audio": ("Headphones", "Speaker"),
    "books": ("Atlas", "Cookbook"),
    "garden": ("Planter", "Shears"),
    "home": ("Lamp", "Kettle"),
    "outdoor": ("Tent", "Rucksack"),
    "sports": ("Racket", "Kettlebell"),
    "toys": ("Puzzle", "Blocks"),
}
_ARROW = {"BIGINT": pa.int64(), "INT": pa.int32(), "STRING": pa.string(), "DATE": pa.date32(), "BOOLEAN": pa.bool_(), "BINARY": pa.binary()}
_ARROW |= {"TIMESTAMP": pa.timestamp("us", "UTC"), "DOUBLE": pa.float64(), "SMALLINT": pa.int16(), "ARRAY<STRING>": pa.list_(pa.string())}

Row = dict[str, Any]


@dataclass
class Shop:
    """The generated rows by full name of the stored table."""

    now: datetime
    rng: random.Random
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, full_name: str, /, **values: Any) -> None:
        self.rows.setdefault(full_name, []).append(values)


def drawn(now: datetime, days: int = 60, orders_a_day: int = 40, seed: int = 1) -> dict[str, pa.Table]:
    """The stored tables that the boards read, by full name, as of `now`; columns that no board reads are NULL."""
    shop = Shop(now=now, rng=random.Random(seed))
    _users(shop, accounts=max(40, orders_a_day * days // 8), days=days)
    _products(shop)
    _orders(shop, days, orders_a_day)
    _sums(shop)
    _landed(shop)
    shop.add("silver.erasures", source_table="users", key='{"user_id":2}', forgotten_at=now, erased_at=now)
    return {table.full_name: arrow(table, shop.rows.get(table.full_name, [])) for table in stored()}


def stored() -> list[Table]:
    """Declarations of the generated tables."""
    silver = [platform_tables.stored(tables.source(name)) for name in ("orders", "products", "users")]
    return [platform_tables.CHANGES, *silver, platform_tables.ERASURES, *(table for table in tables.GOLD if not table.is_view)]


def arrow(table: Table, rows: list[Row]) -> pa.Table:
    """Rows as a table with that declaration's columns except Kafka's headers; missing values are NULL."""
    fields = [pa.field(column.name, _type(column.type)) for column in table.columns if column.type != platform_tables.KAFKA_HEADERS]
    return pa.Table.from_pylist([{name: row.get(name) for name in (f.name for f in fields)} for row in rows], schema=pa.schema(fields))


def write(folder: Path, found: dict[str, pa.Table]) -> None:
    """Write the tables as Delta tables below `folder`, one version each."""
    for table in stored():
        delta_files.create(folder / table.layer.value / table.name, found[table.full_name], list(table.partitions))


def _type(text: str) -> pa.DataType:
    if text.startswith("DECIMAL("):
        precision, scale = text[8:-1].split(",")
        return pa.decimal128(int(precision), int(scale))
    return _ARROW[text]


def _versions(shop: Shop, name: str, versions: list[tuple[datetime, Row]]) -> None:
    """The stored changes of one key: every version visible, the last one open."""
    ends = [at for at, _ in versions[1:]] + [None]
    for number, ((at, values), end) in enumerate(zip(versions, ends, strict=True)):
        state = {"_kind": "upsert", "_epoch": 1, "_lsn": number, "_commit_at": at, "_valid_from": at, "_valid_to": end}
        shop.add(f"silver.{name}_changes", **values, **state, _is_visible=True, _is_blocked=False, _last=end is None)


def _users(shop: Shop, accounts: int, days: int) -> None:
    for user_id in range(1, accounts + 1):
        tier = shop.rng.choices(range(4), (55, 25, 14, 6))[0]
        joined = shop.now - timedelta(days=days + 5 - (days + 4) * shop.rng.random() ** 1.6)
        values = {"user_id": user_id, "region": shop.rng.choices(REGIONS, (38, 22, 30, 10))[0], "created_at": joined}
        moves = [(joined, tier)]
        if shop.rng.random() < 0.12:
            step = shop.rng.choice((-1, 1, 1))
            moves.append((joined + (shop.now - joined) * shop.rng.random(), min(max(tier + step, 0), 3)))
        _versions(shop, "users", [(at, {**values, "tier": TIERS[to]}) for at, to in moves])


def _products(shop: Shop) -> None:
    names = [(category, f"{word} {thing}") for category in CATEGORIES for thing in _THINGS[category] for word in _WORDS[:4]]
    for product_id, (category, name) in enumerate(names, 1):
        price = Decimal(round(CATEGORIES[category] * (0.6 + shop.rng.random()), 2)).quantize(Decimal("0.01"))
        entered = shop.now - timedelta(days=90)
        values = {"product_id": product_id, "sku": f"{category[:3].upper()}-{product_id:06d}", "name": name, "category": category}
        values |= {"stock": shop.rng.randint(0, 400), "is_active": shop.rng.random() < 0.93}
        prices = [(entered, price)]
        if shop.rng.random() < 0.4:
            prices.append((shop.now - timedelta(days=20 * shop.rng.random()), (price * Decimal("0.9")).quantize(Decimal("0.01"))))
        _versions(shop, "products", [(at, {**values, "price_usd": each}) for at, each in prices])


def _orders(shop: Shop, days: int, orders_a_day: int) -> None:
    users = [row for row in shop.rows["silver.users_changes"] if row["_last"]]
    products = [row for row in shop.rows["silver.products_changes"] if row["_last"]]
    weights = [1 / (1 + shop.rng.random() * number) for number in range(len(products))]
    # The last hour has more orders than the mean hour, so that the live board has data.
    hour = [shop.now - timedelta(seconds=3600 * (number + 0.5) / 90) for number in range(90)]
    for order_id, at in enumerate([*_moments(shop, days, orders_a_day), *reversed(hour)], 1):
        user = None if shop.rng.random() < 0.15 else shop.rng.choice(users)
        if user and user["created_at"] > at:
            user = None
        status = _status(shop, at)
        lines = shop.rng.choices(products, weights, k=shop.rng.choice((1, 1, 2, 3)))
        _order(shop, order_id, at, user, status, lines)


def _order(shop: Shop, order_id: int, at: datetime, user: Row | None, status: str, lines: list[Row]) -> None:
    total = Decimal(0)
    for line_no, product in enumerate(lines, 1):
        quantity = shop.rng.choice((1, 1, 1, 2, 3))
        total += quantity * product["price_usd"]
        own = {"order_id": order_id, "line_no": line_no, "ordered_on": at.date(), "product_id": product["product_id"], "quantity": quantity}
        seen = {"unit_price_usd": product["price_usd"], "list_price_usd": product["price_usd"], "category": product["category"]}
        of = {"region": user["region"], "tier": user["tier"]} if user else {}
        shop.add("gold.order_lines", **own, **seen, **of, status=status, is_assumed=False)
    values = {"order_id": order_id, "user_id": user and user["user_id"], "status": status, "ordered_at": at, "total_usd": total}
    _versions(shop, "orders", [(at, values)])


def _moments(shop: Shop, days: int, orders_a_day: int) -> Iterator[datetime]:
    midnight = shop.now.replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(days, -1, -1):
        day = midnight - timedelta(days=back)
        weekend = 1.35 if day.weekday() >= 5 else 1.0
        growth = 0.75 + 0.5 * (days - back) / days
        parts = sorted(shop.rng.random() for _ in range(round(orders_a_day * weekend * growth * shop.rng.uniform(0.85, 1.15))))
        yield from (at for part in parts if (at := day + timedelta(days=part)) < shop.now - timedelta(hours=1))


def _status(shop: Shop, at: datetime) -> str:
    hours = (shop.now - at).total_seconds() / 3600
    if hours < 1:
        return shop.rng.choices(("placed", "paid", "shipped", "cancelled"), (20, 55, 20, 5))[0]
    kinds = ("paid", "shipped", "delivered", "cancelled", "returned")
    return shop.rng.choices(kinds, (2, 20, 2, 5, 0) if hours < 48 else (1, 4, 82, 6, 7))[0]


def _sums(shop: Shop) -> None:
    """The daily tables, aggregated from the order lines."""
    days: dict[tuple[date, str, str | None], list[Row]] = {}
    articles: dict[tuple[date, int], list[Row]] = {}
    for line in shop.rows["gold.order_lines"]:
        if line["status"] in COUNTED_STATUSES:
            days.setdefault((line["ordered_on"], line["category"], line.get("region")), []).append(line)
            articles.setdefault((line["ordered_on"], line["product_id"]), []).append(line)
    for (day, category, region), lines in days.items():
        orders = len({line["order_id"] for line in lines})
        shop.add("gold.daily_sales", day=day, category=category, region=region, orders=orders, **_sold(lines))
    for (day, product_id), lines in articles.items():
        shop.add("gold.product_daily", day=day, product_id=product_id, **_sold(lines))


def _sold(lines: list[Row]) -> Row:
    return {
        "units": sum(line["quantity"] for line in lines),
        "revenue_usd": sum(line["quantity"] * line["unit_price_usd"] for line in lines),
    }


def _landed(shop: Shop) -> None:
    """Bronze of the last two hours: changes of recent orders, one of them deleted, one unreadable, one of a forgotten account."""
    young = [row for row in shop.rows["silver.orders_changes"] if row["ordered_at"] > shop.now - timedelta(hours=2)]
    for number, row in enumerate(young):
        steps = ["placed", row["status"]] if row["status"] != "placed" else ["placed"]
        gap = timedelta(seconds=shop.rng.randint(5, 300))
        user = 2 if number == len(young) - 1 else row["user_id"]
        for step, status in enumerate(steps):
            _land(shop, row["ordered_at"] + gap * step, {**row, "user_id": user, "status": status})
    _land(shop, shop.now - timedelta(minutes=5), {**young[-2]}, op="d")
    _land(shop, shop.now - timedelta(minutes=4), {**young[-3]}, text="{")
    beats = [shop.now - timedelta(seconds=5 * number) for number in range(20)]
    for at in beats:
        shop.add("bronze.changes", source_table=platform_tables.HEARTBEAT, _landed_on=at.date(), _landed_at=at, op="u", commit_at=at)


def _land(shop: Shop, at: datetime, row: Row, op: str = "u", text: str | None = None) -> None:
    at = min(at, shop.now - timedelta(seconds=2))
    after = {"order_id": row["order_id"], "user_id": row["user_id"], "status": row["status"], "total_usd": str(row["total_usd"])}
    after["ordered_at"] = row["ordered_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    value = text or json.dumps({"op": op, "before": None, "after": None if op == "d" else after})
    offset = len(shop.rows.get("bronze.changes", []))
    place = {"source_table": "orders", "topic": "ebap.cdc.orders", "partition": 0, "offset": offset, "epoch": 1, "lsn": offset, "op": op}
    landed_at = at + timedelta(seconds=1)
    key = json.dumps({"order_id": row["order_id"]}).encode()
    shop.add("bronze.changes", **place, key=key, value=value.encode(), commit_at=at, _landed_at=landed_at, _landed_on=landed_at.date())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--orders-a-day", type=int, default=40)
    args = parser.parse_args()
    write(args.folder, drawn(datetime.now(UTC).replace(microsecond=0), args.days, args.orders_a_day))
