"""The topics of the change log: what is declared, and what an existing one must not be."""

import pytest

from lakehouse import tables
from lakehouse.source import topics


def test_every_captured_table_has_a_topic_of_three_partitions():
    partitions = {topic.name: topic.partitions for topic in topics.declared(tables.SOURCES)}
    assert {name: partitions[f"ebap.cdc.{name}"] for name in ("users", "products", "orders", "order_items")} == dict.fromkeys(
        ("users", "products", "orders", "order_items"), 3
    )
    assert partitions["ebap.cdc.heartbeat"] == partitions["ebap.cdc.signal"] == 1


@pytest.mark.parametrize("policy", ["compact", "compact,delete", "delete,compact"])
def test_a_topic_that_compacts_is_refused_with_the_cure(policy):
    faults = topics.policy_faults({"ebap.cdc.users": {"cleanup.policy": policy}, "ebap.cdc.orders": {"cleanup.policy": "delete"}})
    assert len(faults) == 1
    assert f"topic ebap.cdc.users has cleanup.policy={policy}" in faults[0]
    assert "python -m lakehouse topics --correct" in faults[0]
