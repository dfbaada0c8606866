"""The connector's text: what ships, held as golden text, and what must be true of it whatever the declarations."""

import json
import os
from pathlib import Path

import pytest

from infra.capture import connector
from lakehouse import tables
from lakehouse.contract import Column, History, Table

GOLDEN = Path(__file__).parents[1] / "golden" / "connector.json"
ADDRESS = {"host": "127.0.0.1", "port": "15432", "dbname": "shop", "user": "ebap_capture"}


def rendered(sources=tables.SOURCES, schema="shop", address=ADDRESS):
    return connector.render(sources, schema, address, Path("/secrets"), 1, "__ebap_unchanged_00")


def test_the_connector_is_rendered_as_it_was_agreed():
    text = json.dumps(rendered(), indent=2) + "\n"
    if os.environ.get("REBUILD_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "run the test with REBUILD_GOLDEN=1 and look at the difference"


def test_a_new_declaration_is_captured_without_another_change():
    columns = (Column(name="id", type="BIGINT", doc="Key."),)
    table = Table(name="coupons", doc="d", grain="g", key=("id",), history=History.FULL, owner="o", allowed_age_s=1, columns=columns)
    assert rendered((table,), "sales")["table.include.list"] == r"sales\.coupons,ebap\.heartbeat,ebap\.signal"


def test_no_password_stands_in_the_text():
    assert rendered()["database.password"] == "${dir:/secrets:capture}"


def test_a_source_reached_by_a_socket_is_refused_by_name():
    with pytest.raises(connector.AddressError, match="EBAP_SOURCE_DSN has host '/run/postgresql'"):
        rendered(address={**ADDRESS, "host": "/run/postgresql"})


def test_an_encrypted_source_stays_encrypted():
    assert rendered(address={**ADDRESS, "sslmode": "verify-full"})["database.sslmode"] == "verify-full"
