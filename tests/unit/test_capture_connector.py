"""The connector's text: what ships, held as golden text, and what must be true of it whatever the declarations."""

import json
import os
import re
from pathlib import Path

from lakehouse import tables
from lakehouse.contract import Column, History, Table
from lakehouse.errors import SettingsError
from lakehouse.settings import Settings
from lakehouse.source import connector, topics
from tests.refusals import refused

GOLDEN = Path(__file__).parents[1] / "golden" / "connector.json"
ADDRESS = {"host": "127.0.0.1", "port": "15432", "dbname": "shop", "user": "ebap_capture"}


def rendered(sources=tables.SOURCES, schema="shop", address=ADDRESS, scope=connector.EVERYTHING):
    return connector.render(
        sources, schema, address, Path("/secrets"), 1, "__ebap_unchanged_00", max_record_bytes=Settings().max_record_bytes, scope=scope
    )


def test_the_connector_is_rendered_as_it_was_agreed():
    text = json.dumps(rendered(), indent=2) + "\n"
    if os.environ.get("REBUILD_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "run the test with REBUILD_GOLDEN=1 and look at the difference"


def test_a_new_declaration_is_captured_without_another_change():
    columns = (Column(name="id", type="BIGINT", doc="Key."),)
    table = Table(name="coupons", doc="d", grain="g", key=("id",), history=History.FULL, owner="o", max_age_s=1, columns=columns)
    assert rendered((table,), "sales")["table.include.list"] == r"(?-i:sales\.coupons),(?-i:ebap\.heartbeat),(?-i:ebap\.signal)"


def test_what_is_left_out_and_stopped_is_named_exactly():
    scope = connector.Scope(stopped=frozenset({"orders"}), left_out={"users": ["Vector", "we, ird.x"]})
    made = rendered(scope=scope)
    assert (
        made["table.include.list"]
        == r"(?-i:shop\.order_items),(?-i:shop\.products),(?-i:shop\.users),(?-i:ebap\.heartbeat),(?-i:ebap\.signal)"
    )
    patterns = made["column.exclude.list"].split(",")
    assert patterns == [r"(?-i:shop\.users\.Vector)", r"(?-i:shop\.users\.we\x2c\ ird\.x)"]
    assert re.fullmatch(patterns[1], "shop.users.we, ird.x")
    assert not re.fullmatch(patterns[0], "shop.users.vector")


def test_one_setting_is_the_limit_of_a_record():
    made, limit = rendered(), str(Settings().max_record_mb * 2**20)
    assert (made["producer.override.max.request.size"], made["producer.override.buffer.memory"]) == (limit, limit)
    assert topics.settings_of(Settings().max_batch_bytes)["max.message.bytes"] == str(Settings().max_batch_bytes)


def test_a_null_stays_a_null_where_the_column_has_a_default():
    assert rendered()["value.converter.replace.null.with.default"] == "false"


def test_no_password_stands_in_the_text():
    assert rendered()["database.password"] == "${dir:/secrets:capture}"


def test_a_source_reached_by_a_socket_is_refused_by_name():
    with refused("EBAP_SOURCE_DSN", "'/run/postgresql'", kind=SettingsError):
        rendered(address={**ADDRESS, "host": "/run/postgresql"})


def test_an_encrypted_source_stays_encrypted():
    assert rendered(address={**ADDRESS, "sslmode": "verify-full"})["database.sslmode"] == "verify-full"
