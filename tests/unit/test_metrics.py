"""The figures for Prometheus, read back by the grammar of its text format 0.0.4."""

from __future__ import annotations

import re
from typing import Any

from dashboards.boards import metrics
from lakehouse.health import liveness

_LABEL = r'[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"([a-zA-Z_:][\w:]*)\{{({_LABEL}(?:,{_LABEL})*)\}} (-?\d+(?:\.\d+)?(?:e[+-]\d+)?)")


def table(name: str, **values: Any) -> dict[str, Any]:
    return {"name": name, "age_s": 1.5, "allowed_age_s": 300, "state": "idle", "rows": 7, "blocked": 0, "unresolved": 0} | values


def samples(text: str) -> dict[tuple[str, str], float]:
    """Every sample by name and labels; each family is announced once, before its samples, and the text ends with a line end."""
    assert text.endswith("\n")
    found: dict[tuple[str, str], float] = {}
    announced: list[str] = []
    for line in text.splitlines():
        if line.startswith("# HELP "):
            assert line.split(" ", 3)[2] not in announced
            announced.append(line.split(" ", 3)[2])
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {announced[-1]} gauge"
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == announced[-1]
            assert (match[1], match[2]) not in found
            found[match[1], match[2]] = float(match[3])
    return found


def test_every_table_has_its_age_one_state_and_what_waits() -> None:
    waiting = [{"source_table": "users", "reason": 'a "new"\nreason \\', "waiting": 3}]
    found = samples(metrics.exposition({"tables": [table("silver.users"), table("gold.daily_sales", age_s=None)], "waiting": waiting}))
    assert found["ebap_table_age_seconds", 'table="silver.users"'] == 1.5
    assert ("ebap_table_age_seconds", 'table="gold.daily_sales"') not in found, "an age that is not known is no age of 0"
    states = {word: found["ebap_table_state", f'table="silver.users",state="{word}"'] for word in liveness.STATES}
    assert [word for word, value in states.items() if value] == ["idle"]
    assert found["ebap_quarantine_waiting_records", 'table="users",reason="a \\"new\\"\\nreason \\\\"'] == 3


def test_where_nothing_waits_the_family_is_there_and_empty() -> None:
    text = metrics.exposition({"tables": [table("silver.users")], "waiting": []})
    assert "# TYPE ebap_quarantine_waiting_records gauge\n" in text
    assert not [name for name, _ in samples(text) if name == "ebap_quarantine_waiting_records"]
