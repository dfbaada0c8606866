"""When too many records wait, and what is said of them."""

from lakehouse.lake import quarantine_counts

COUNTS = [
    {"source_table": "orders", "reason": "bad_value", "waiting": 2},
    {"source_table": "users", "reason": "bad_value", "waiting": 2},
    {"source_table": "users", "reason": "refused", "waiting": 1},
]


def test_the_line_names_table_reasons_counts_and_the_command():
    (said,) = quarantine_counts.too_many(COUNTS, 2)
    assert said == (
        "3 records of users wait in silver.quarantine, more than EBAP_QUARANTINE_ALERT=2 (2 bad_value, 1 refused); "
        "after the fix, `python -m lakehouse replay users`"
    )


def test_as_many_as_are_allowed_are_not_too_many():
    assert quarantine_counts.too_many(COUNTS, 3) == []


def test_every_reason_can_be_replayed_but_that_of_a_twin():
    assert "bad_value" in quarantine_counts.REASONS
    assert "conflicting_duplicate" not in quarantine_counts.REASONS
