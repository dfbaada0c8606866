"""Cost of the machines per month in three variants, from `prices.toml`, and savings of the schedule, from the DAGs' journal."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from infra import nodes
from infra.nodes import hours, journal
from lakehouse.settings import Settings

_PRICES = Path(__file__).with_name("prices.toml")
_HOURS_A_MONTH = Decimal(730)
# Assumed sizes for the layout of three machines.
_DISKS_GB = (("node1", 50), ("node2", 30), ("Airflow's", 30))
_BUCKET_GB = 50
_EGRESS_GB = 5
# A batch of land: one file per table, the commit, offsets and their listings. Derived from the code, not measured on a bucket.
_WRITES_A_BATCH = 12
# The instance schedule keeps Airflow's machine on a little before and after the working hours, for vm_start and vm_stop.
_MARGIN_H = Decimal(1)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line item of the bill: description, amount and unit price."""

    text: str
    amount: Decimal
    price: Decimal

    @property
    def usd(self) -> Decimal:
        """The cost, rounded to the cent."""
        return (self.amount * self.price).quantize(Decimal("0.01"))

    def __str__(self) -> str:
        return f"  {self.text:<52}{self.amount.normalize():>9f} x {self.price.normalize():<11f}={self.usd:>9}"


def report(settings: Settings, now: datetime | None = None) -> str:
    """The three bills, the savings of the schedule up to `now` (omitted if None), and the sources of the prices."""
    prices = _prices()
    bills = [(title, _bill(settings, prices, is_always=always, is_spot=spot)) for title, always, spot in _VARIANTS]
    highest = _sum(bills[0][1])
    parts = [_section(title, lines, highest) for title, lines in bills]
    if now:
        parts.append(_saved(settings, prices, now))
    return "\n\n".join([*parts, "\n".join(_sources(settings, prices))])


_VARIANTS = (("Always on", True, False), ("In office hours", False, False), ("In office hours, with Spot", False, True))


def _bill(settings: Settings, prices: dict[str, Any], *, is_always: bool, is_spot: bool) -> list[Line]:
    working = hours.of(settings)
    switched = _HOURS_A_MONTH if is_always else Decimal(working.hours_a_month()).quantize(Decimal("0.1"))
    margin = _MARGIN_H * len(working.days) * 365 / 7 / 12
    airflow = _HOURS_A_MONTH if is_always else min(_HOURS_A_MONTH, (switched + margin).quantize(Decimal("0.1")))
    writes = (switched * 3600 / settings.trigger_s * _WRITES_A_BATCH / 1000).quantize(Decimal(1))
    count, kind = len(nodes.in_start_order(settings)), "_spot" if is_spot else ""
    spot = ", Spot" if is_spot else ""
    return [
        Line(text=f"{count} e2-standard-2{spot}, hours", amount=count * switched, price=_usd(prices, f"e2_standard_2{kind}")),
        Line(text="Airflow's e2-standard-2, hours", amount=airflow, price=_usd(prices, "e2_standard_2")),
        Line(text=f"{count} external addresses, hours", amount=count * switched, price=_usd(prices, f"external_address{kind}")),
        Line(text="Airflow's external address, hours", amount=airflow, price=_usd(prices, "external_address")),
        *(Line(text=f"{name} disk, GB", amount=Decimal(size), price=_usd(prices, "balanced_disk")) for name, size in _DISKS_GB),
        Line(text="the lake's bucket, GB", amount=Decimal(_BUCKET_GB), price=_usd(prices, "bucket")),
        Line(
            text=f"thousand bucket writes ({_WRITES_A_BATCH} a batch, one each {settings.trigger_s} s)",
            amount=writes,
            price=_usd(prices, "bucket_writes"),
        ),
        Line(text="egress to the internet, GB", amount=Decimal(_EGRESS_GB), price=_usd(prices, "egress")),
    ]


def _section(title: str, lines: list[Line], highest: Decimal) -> str:
    total = _sum(lines)
    less = f"   {100 * (highest - total) / highest:.0f} % less than always on" if total < highest else ""
    return "\n".join([f"{title}: {total} USD a month{less}", *map(str, lines)])


def _saved(settings: Settings, prices: dict[str, Any], now: datetime) -> str:
    events = journal.read(settings)
    if not events:
        return "Saved so far: no data yet; vm_start and vm_stop record every start and stop"
    price = _usd(prices, "e2_standard_2")
    lines = [
        Line(text=f"{node}, hours off since {events[0].at[:10]}", amount=Decimal(off).quantize(Decimal("0.1")), price=price)
        for node, off in sorted(journal.hours_off(events, now).items())
    ]
    return "\n".join([f"Saved so far: {_sum(lines)} USD, at the on-demand price", *map(str, lines)])


def _sources(settings: Settings, prices: dict[str, Any]) -> Iterator[str]:
    region = prices["region"]
    other = "" if settings.gcp_zone.startswith(region) else f" EBAP_GCP_ZONE is {settings.gcp_zone}: its prices differ."
    working = f"{settings.work_days} {settings.work_hours} {settings.time_zone}"
    yield f"A month is 730 hours; working hours are {working}, plus 15 minutes before."
    yield f"List prices of {region} without tax; check them before you rely on them.{other}"
    for name, price in prices.items():
        if name != "region":
            yield f"  {name}: {price['usd'].normalize():f} {price['per']} ({price['seen']}, {price['source']})"


def _prices() -> dict[str, Any]:
    return tomllib.loads(_PRICES.read_text(), parse_float=Decimal)


def _usd(prices: dict[str, Any], name: str) -> Decimal:
    return Decimal(prices[name]["usd"])


def _sum(lines: list[Line]) -> Decimal:
    return sum((line.usd for line in lines), Decimal(0))
