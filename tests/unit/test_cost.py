"""The cost report: its arithmetic, and the page that shows it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from infra.nodes import cost, journal
from lakehouse.settings import PROJECT, Settings


def _totals(report: str) -> list[Decimal]:
    return [Decimal(found) for found in re.findall(r"^\S.*: (\S+) USD a month", report, re.MULTILINE)]


def test_each_total_is_the_sum_of_its_lines_and_each_line_its_product() -> None:
    for section in cost.report(Settings()).split("\n\n")[:3]:
        lines = re.findall(r"(\S+) x (\S+) += +(\S+)$", section, re.MULTILINE)
        assert len(lines) == 10
        for amount, price, usd in lines:
            assert (Decimal(amount) * Decimal(price)).quantize(Decimal("0.01")) == Decimal(usd)
        assert _totals(section) == [sum(Decimal(usd) for _, _, usd in lines)]


def test_office_hours_cost_less_than_always_and_spot_least() -> None:
    always, office, spot = _totals(cost.report(Settings()))
    assert spot < office < always
    assert _totals(cost.report(Settings(work_days="mon-sun", work_hours="00:00-24:00")))[1] == always


def test_every_price_has_its_date_and_source() -> None:
    sources = cost.report(Settings()).split("\n\n")[-1].splitlines()[2:]
    assert len(sources) == 8
    assert all(re.search(r"\((\d{4}-\d\d-\d\d|unchecked), .*https://", line) for line in sources)


def test_another_region_is_reported_to_have_other_prices() -> None:
    assert "EBAP_GCP_ZONE is europe-west1-b: its prices differ" in cost.report(Settings(gcp_zone="europe-west1-b"))


def test_savings_come_from_the_journal(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert "no data yet" in cost.report(settings, now)
    journal.write(settings, "node1", journal.OFF, "r", datetime(2026, 11, 19, 12, tzinfo=UTC))
    assert "Saved so far: 1.61 USD" in cost.report(settings, now)  # 24 h x 0.06701142


def test_the_page_shows_the_commands_output() -> None:
    assert cost.report(Settings()) in (PROJECT / "infra" / "docs" / "cost.md").read_text()
