"""The metrics for Prometheus, parsed by the grammar of its text format 0.0.4."""

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
    """Every sample by name and labels; each family is declared once, before its samples, and the text ends with a newline."""
    assert text.endswith("\n")
    found: dict[tuple[str, str], float] = {}
    declared: list[str] = []
    for line in text.splitlines():
        if line.startswith("# HELP "):
            assert line.split(" ", 3)[2] not in declared
            declared.append(line.split(" ", 3)[2])
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {declared[-1]} gauge"
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == declared[-1]
            assert (match[1], match[2]) not in found
            found[match[1], match[2]] = float(match[3])
    return found


def test_every_table_has_its_age_one_state_and_its_quarantined_records() -> None:
    waiting = [{"source_table": "users", "reason": 'a "new"\nreason \\', "waiting": 3}]
    found = samples(metrics.exposition({"tables": [table("silver.users"), table("gold.daily_sales", age_s=None)], "waiting": waiting}))
    assert found["ebap_table_age_seconds", 'table="silver.users"'] == 1.5
    assert ("ebap_table_age_seconds", 'table="gold.daily_sales"') not in found, "an unknown age is not reported as 0"
    states = {state: found["ebap_table_state", f'table="silver.users",state="{state}"'] for state in liveness.STATES}
    assert [state for state, value in states.items() if value] == ["idle"]
    assert found["ebap_quarantine_waiting_records", 'table="users",reason="a \\"new\\"\\nreason \\\\"'] == 3


def test_an_empty_quarantine_is_a_family_without_samples() -> None:
    text = metrics.exposition({"tables": [table("silver.users")], "waiting": []})
    assert "# TYPE ebap_quarantine_waiting_records gauge\n" in text
    assert not [name for name, _ in samples(text) if name == "ebap_quarantine_waiting_records"]
