"""The golden cases through stored tables without Spark: Debezium's records in bronze, refined in this process.

All cases share one table, each with its own keys, and take each step together; a case with a truncate has its own table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lakehouse import platform_tables, tables
from lakehouse.settings import Settings
from tests.golden.carrier import version
from tests.golden.notation import summary
from tests.golden.oracle import COLUMNS
from tests.golden.test_stored import PLACEHOLDER, Stored, groups, record
from tests.unit import light_lake
from tests.unit.light_lake import LightLake


@pytest.fixture(scope="module")
def stored(light_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Stored]]:
    """Every case refined, by table."""
    with pytest.MonkeyPatch.context() as patch:
        made = groups()
        patch.setattr(tables, "SOURCES", (*tables.SOURCES, *(group.table for group in made)))
        patch.setitem(light_lake.SOURCE, "ebap.placeholder.1", PLACEHOLDER)
        lake = LightLake.at(light_settings, tmp_path_factory.mktemp("golden"))
        for group in made:
            _refine(lake, group)
        yield made


def _refine(lake: LightLake, group: Stored) -> None:
    every = []
    for step in group.steps():
        every += step
        lake.append([record(group.table, case, change) for case, change in step])
        lake.refine(group.table.name)
    lake.append([record(group.table, case, change) for case, change in every])
    group.is_silent = not lake.refine(group.table.name).changed
    for row in lake.stored(group.table.name):
        if row["_is_visible"]:
            group.versions.setdefault(row["case_id"], []).append(version(row))
        if row["_last"] and row["_kind"] in ("read", "upsert"):
            group.live.setdefault(row["case_id"], []).append((row["first"], row["second"], *(row[name] for name in COLUMNS)))
    for row in lake.lake.read(platform_tables.QUARANTINE, where={"source_table": [group.table.name]}).to_pylist():
        assert row["reason"] == "conflicting_duplicate", row
        group.contested[json.loads(row["key"])["case_id"]].add(json.loads(row["value"])["source"]["lsn"])


def test_every_case_has_its_expected_history_on_stored_tables(stored: list[Stored]) -> None:
    for group in stored:
        assert group.is_silent, f"{group.table.name}: a repetition of everything wrote something"
        for number, case in enumerate(group.cases * (2 if len(group.cases) > 1 else 1)):
            found = sorted(group.versions.get(number, []), key=lambda v: (v.key, v.from_us))
            assert tuple(map(summary, found)) in (case.versions, case.either), f"{case.name}: {case.doc}, number {number}"
            assert group.contested[number] == set(case.contested), f"{case.name}: {case.doc}"
            live = sorted(((*v.key, *v.values) for v in found if v.to_us is None), key=str)
            assert sorted(group.live.get(number, []), key=str) == live, f"{case.name}: {case.doc}"
