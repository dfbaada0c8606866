"""Records read as changes: every type exact, every kind of junk told apart by its reason, its bytes kept and its neighbours unharmed."""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lakehouse.transforms.records import envelope
from lakehouse.transforms.records.changes import Fault, Place
from lakehouse.transforms.records.envelope import Decoder
from lakehouse.transforms.records.truncates import Truncate
from lakehouse.transforms.records.values import NAN
from tests.unit import wire
from tests.unit.wire import PLACEHOLDER, THINGS, Received, received, row

_ALL_UNICODE = "".join(map(chr, [*range(1, 0x300), 0x20AC, 0xFFFD, 0xFFFE, 0x1F600, 0x10FFFF])) + '"\\\n\r\u2028'
_GOOD = wire.envelope("c", {"id": 1})
_TEXT = json.dumps(_GOOD)


def _day(*parts: int) -> int:
    return (date(*parts) - date(1970, 1, 1)).days


def _instant(*parts: int) -> int:
    return (datetime(*parts) - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # type: ignore[misc, arg-type]


# column, the value on the wire, the value in silver
VALUES: list[tuple[str, Any, Any]] = [
    ("note", _ALL_UNICODE, _ALL_UNICODE),
    ("note", "x" * 1_000_000, "x" * 1_000_000),
    ("note", "", ""),
    ("note", "null", "null"),
    ("note", None, None),
    ("note", "__debezium_unavailable_value", "__debezium_unavailable_value"),  # a user's own text: only our placeholder is one
    ("note", '{"a": [1, {"b": null}]}', '{"a": [1, {"b": null}]}'),
    ("price", "99999999.99", Decimal("99999999.99")),
    ("price", "-0.01", Decimal("-0.01")),
    ("price", "1.230", Decimal("1.23")),  # a scale that grew at the source, and no digit lost
    ("price", "5", Decimal("5.00")),
    ("rate", "1234567890123456789012345678.0123456789", Decimal("1234567890123456789012345678.0123456789")),
    ("rate", "0.0000000001", Decimal("0.0000000001")),
    ("small", -32768, -32768),
    ("units", 2147483647, 2147483647),
    ("id", 9223372036854775807, 9223372036854775807),
    ("weight", 1.0e-300, 1.0e-300),
    ("weight", 0.1, 0.1),
    ("weight", "NaN", math.nan),  # Postgres keeps it in a double, and so does silver
    ("weight", "-Infinity", -math.inf),
    ("ratio", 0.25, 0.25),
    ("is_on", True, True),
    ("is_on", False, False),
    ("day", "2026-01-01Z", _day(2026, 1, 1)),
    ("day", "0001-01-01Z", _day(1, 1, 1)),
    ("day", "9999-12-31Z", _day(9999, 12, 31)),
    ("at", "2026-11-22T03:18:01.001105Z", _instant(2026, 11, 22, 3, 18, 1, 1105)),
    ("at", "2026-11-22T03:18:01Z", _instant(2026, 11, 22, 3, 18, 1)),
    ("at", "0001-01-02T00:00:00.000000Z", _instant(1, 1, 2)),
    ("at", "0001-01-01T00:00:00.000000Z", _instant(1, 1, 1)),
    ("at", "9999-12-31T23:59:59.999999Z", _instant(9999, 12, 31, 23, 59, 59, 999999)),
    ("raw", b64encode(bytes(range(256))).decode(), bytes(range(256))),
    ("raw", "", b""),
    ("tags", ['q"\\\n', "b,c", "", None, "é😀"], ('q"\\\n', "b,c", "", None, "é😀")),
    ("tags", [], ()),
    ("tags", ["[Ljava", "@1f"], ("[Ljava", "@1f")),
]

# column, a value on the wire that its type cannot hold exactly
MISFITS: list[tuple[str, Any]] = [
    ("price", "NAN"),
    ("price", "1.239"),
    ("price", "100000000.00"),
    ("price", "POSITIVE_INFINITY"),
    ("price", ""),
    ("small", 32768),
    ("units", 2147483648),
    ("units", "5.0"),
    ("units", 5.5),
    ("units", " 5"),
    ("id", 9223372036854775808),
    ("weight", "1d"),
    ("weight", "abc"),
    ("weight", "1e400"),
    ("ratio", "1e39"),
    ("is_on", "t"),
    ("is_on", 1),
    ("day", "+5877611-06-21Z"),
    ("day", "-0043-03-15Z"),
    ("day", "+21016-11-04Z"),
    ("day", "0000-01-01Z"),
    ("day", "2026-02-30Z"),
    ("day", 20454),
    ("at", "infinity"),
    ("at", "-infinity"),
    ("at", "-4712-01-01T00:00:00.000000Z"),
    ("at", "0000-12-31T23:59:59Z"),
    ("at", "+21016-11-04T00:00:00.000000Z"),
    ("at", "10000-01-01T00:00:00Z"),
    ("at", "2026-11-22T03:18:01.0000001Z"),
    ("at", "2026-11-22"),
    ("at", "T10:00:00Z"),
    ("raw", "not base64!"),
    ("tags", "a"),
    ("tags", {"a": 1}),
    ("tags", ["[Ljava.lang.String;@163c9c06", "[Ljava.lang.String;@5ad7f05c"]),  # two dimensions, their content lost on the way
    ("tags", ["[[Ljava.util.UUID;@163c9c06"]),
    ("note_of_id", None),  # the key column itself is NULL
]
_NO_OLD_KEY = (("__debezium.oldkey", '{"other":10}'), ("ebap.epoch", "1"))

# what it is, the record, its reason
JUNK: list[tuple[str, Received, str]] = [
    ("no bytes", Received(b""), "empty"),
    ("Latin-1", Received(_TEXT.replace('"c"', '"\xe9"').encode("latin-1")), "not_utf8"),
    ("UTF-16", Received(_TEXT.encode("utf-16")), "not_utf8"),
    ("a key that is not UTF-8", Received(_TEXT.encode(), key=b"\xff\xfe"), "not_utf8"),
    ("prose", Received(b"hello"), "not_json"),
    ("white space", Received(b"  \n"), "not_json"),
    ("cut off", Received(_TEXT[:-1].encode()), "not_json"),
    ("an array", Received(f"[{_TEXT}]".encode()), "not_json"),
    ("a number", Received(b"5"), "not_json"),
    ("a null", Received(b"null"), "not_json"),
    ("text after the brace", Received(f"{_TEXT} x".encode()), "not_json"),
    ("a brace too many", Received(f"{_TEXT}}}".encode()), "not_json"),
    ("two records", Received(f"{_TEXT}{_TEXT}".encode()), "not_json"),
    ("two records with a comma", Received(f"{_TEXT},{_TEXT}".encode()), "not_json"),
    ("a bracket after the brace", Received(f"{_TEXT}] }}".encode()), "not_json"),
    ("single quotes", Received(_TEXT.replace('"', "'").encode()), "not_json"),
    ("a bare NaN", Received(_TEXT.replace('"id": 1', '"id": NaN').encode()), "not_json"),
    ("10,000 arrays deep", Received(b'{"op":"c","after":' + b"[" * 10_000 + b"]" * 10_000 + b"}"), "not_json"),
    ("10,000 objects deep", Received(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), "not_json"),
    ("a column twice", Received(_TEXT.replace('"id": 1', '"id": 1, "id": 2').encode()), "not_json"),
    ("op twice", Received(_TEXT.replace('"op"', '"op": "d", "op"').encode()), "not_json"),
    ("20 MB of braces", Received(b"{" * 20_000_000), "not_json"),
    ("no op", received(wire.envelope(None, {"id": 1})), "no_op"),
    ("an empty object", Received(b"{}"), "no_op"),
    ("a null op", received({**_GOOD, "op": None}), "no_op"),
    ("an unknown op", received(wire.envelope("x", {"id": 1})), "no_op"),
    ("a transaction marker", received({"status": "BEGIN", "id": "756:26911512"}), "no_op"),
    ("another table", received(wire.envelope("c", {"id": 1}, {"table": "orders"})), "wrong_table"),
    ("another schema", received(wire.envelope("c", {"id": 1}, {"schema": "public"})), "wrong_table"),
    ("a create without a key", received(_GOOD, key=None), "null_key"),
    ("a delete without a key", received(wire.envelope("d"), key=None), "null_key"),
    ("no epoch", received(_GOOD, epoch=None), "no_position"),
    ("no lsn", received(wire.envelope("c", {"id": 1}, {"lsn": None})), "no_position"),
    ("an lsn in words", received(wire.envelope("c", {"id": 1}, {"lsn": "ten"})), "no_position"),
    ("no source", received({"op": "c", "after": {"id": 1}}), "no_position"),
    ("a commit far in the future", received(wire.envelope("c", {"id": 1}, {"ts_us": 9 * 10**18})), "no_position"),
    ("a row that is no object", received(wire.envelope("c", 5)), "bad_value"),
    ("no row", received(wire.envelope("u", None)), "bad_value"),
    ("a row without its key", received(wire.envelope("c", {"note": "a"})), "bad_value"),
    ("the number 1e400", Received(_TEXT.replace('"id": 1', '"id": 1, "weight": 1e400').encode()), "bad_value"),
    ("a delete whose key is prose", received(wire.envelope("d"), key=b"abc"), "bad_value"),
    ("a delete of another key", received(wire.envelope("d"), key=b'{"other":1}'), "bad_value"),
    ("a key that came unchanged", received(wire.envelope("u", {"id": PLACEHOLDER})), "bad_value"),
    ("a key change from no key of this table", received(wire.envelope("c", {"id": 1}), headers=_NO_OLD_KEY), "bad_value"),
    ("a refused row", row(units=13), "refused"),
]

_BEFORE = {"id": 1, "note": "junk", "at": "1970-01-01T00:00:00.000000Z"}
_OLD_KEY = (("__debezium.oldkey", '{"id":10}'), ("ebap.epoch", "1"))
_UNCHANGED = {"note": PLACEHOLDER, "raw": b64encode(PLACEHOLDER.encode()).decode(), "tags": [PLACEHOLDER]}

OTHERS: dict[str, Received] = {
    "read": received(wire.envelope("r", {"id": 1}, {"snapshot": "first", "sequence": '[null,"50"]'})),
    "incremental read": received(wire.envelope("r", {"id": 1}, {"snapshot": "incremental", "lsn": None, "sequence": '["50","50"]'})),
    "create": received(wire.envelope("c", {"id": 1, "note": "a"}), headers=_OLD_KEY),
    "same again": received(wire.envelope("u", {"note": "a", "id": 1, "price": None, "gone": 5})),
    "other content": row(note="b"),
    "unchanged": row("u", **_UNCHANGED),
    "unchanged uuid[]": row("u", tags=[str(uuid.UUID(bytes=hashlib.md5(PLACEHOLDER.encode()).digest(), version=3))]),
    "unchanged text in its place": row("u", **{**_UNCHANGED, "note": "note?"}),
    "delete": received(wire.envelope("d", before=_BEFORE), key=b'{"id":77}'),
    "truncate": received(wire.envelope("t"), key=None),
    "message": received({**wire.envelope("m"), "message": {"prefix": "x"}}, key=None),
    "tombstone": Received(None, key=b'{"id":77}'),
    "flagged": row(price="-1.00", note="a"),
    "huge": row(note="x" * 8_000_000),
    "not JSON, with a key": Received(b"{", key=b'{"id":99}'),
}


@dataclass(frozen=True)
class Read:
    """Every record of this file decoded in one run, told apart by Kafka offset; a change as its columns by name."""

    good: dict[int, dict[str, Any]]
    bad: dict[int, Fault]
    truncates: dict[int, Truncate]
    blocked: dict[int, Place]
    neither: set[int]


@pytest.fixture(scope="module")
def read() -> Read:
    made = Decoder(THINGS, ["__older", PLACEHOLDER], "shop").decode(wire.records(_RECORDS))
    assert made.records == len(_RECORDS)
    return Read(
        good={
            change.offset or 0: {**dict(zip(THINGS.column_names, change.values, strict=True)), **change._asdict()}
            for change in made.changes
        },
        bad={fault.record.offset: fault for fault in made.faults},
        truncates={truncate.offset: truncate for truncate in made.truncates},
        blocked={place.offset: place for place in envelope.places(made, THINGS)},
        neither={record.offset for record in made.tombstones},
    )


def _misfit(column: str, value: Any) -> Received:
    return row(id=None) if column == "note_of_id" else row(**{column: value})


_RECORDS = [
    *[row(**{column: value}) for column, value, _ in VALUES],
    *[_misfit(column, value) for column, value in MISFITS],
    *[record for _, record, _ in JUNK],
    *OTHERS.values(),
]
_FIRST_MISFIT = len(VALUES)
_FIRST_JUNK = _FIRST_MISFIT + len(MISFITS)
_FIRST_OTHER = _FIRST_JUNK + len(JUNK)


def _place(name: str) -> int:
    return _FIRST_OTHER + list(OTHERS).index(name)


@pytest.mark.parametrize("place", range(len(VALUES)), ids=[f"{c}={str(v)[:20]!r}" for c, v, _ in VALUES])
def test_a_value_arrives_exactly(read: Read, place: int) -> None:
    column, _, expected = VALUES[place]
    got = read.good[place]
    assert got["unchanged"] == ()
    if isinstance(expected, float) and math.isnan(expected):
        assert got[column] is NAN
    else:
        assert got[column] == expected


@pytest.mark.parametrize("place", range(len(MISFITS)), ids=[f"{c}={v!r}" for c, v in MISFITS])
def test_a_value_that_does_not_fit_is_named(read: Read, place: int) -> None:
    column, _ = MISFITS[place]
    got = read.bad[_FIRST_MISFIT + place]
    assert got.reason == "bad_value"
    assert (got.detail or "").startswith("after: lacks" if column == "note_of_id" else f"{column}: '")


@pytest.mark.parametrize("place", range(len(JUNK)), ids=[name for name, _, _ in JUNK])
def test_junk_has_its_reason_and_keeps_its_bytes(read: Read, place: int) -> None:
    _, record, reason = JUNK[place]
    got = read.bad[_FIRST_JUNK + place]
    assert (got.reason, bool(got.detail)) == (reason, True)
    assert (got.record.topic, got.record.partition, got.record.value, got.record.key) == ("ebap.cdc.things", 0, record.value, record.key)


def test_every_record_is_good_or_bad_or_of_no_consequence(read: Read) -> None:
    parts = [set(read.good), set(read.bad), set(read.truncates), read.neither, {_place("message")}]
    assert set.union(*parts) == set(range(len(_RECORDS)))
    assert sum(map(len, parts)) == len(_RECORDS)


def test_a_misfit_names_text_and_type(read: Read) -> None:
    assert read.bad[_FIRST_MISFIT].detail == "price: 'NAN' is not a DECIMAL(10,2)"


def test_a_change_knows_its_place(read: Read) -> None:
    got = read.good[_place("create")]
    assert (got["kind"], got["epoch"], got["lsn"], got["txid"], got["last_commit_lsn"]) == ("upsert", 1, 50, 7, 40)
    assert (got["commit_at"], got["linked_key"]) == (wire.COMMITTED_US, '{"id":10}')


def test_a_read_belongs_to_no_transaction_and_may_know_no_commit(read: Read) -> None:
    got = read.good[_place("read")]
    assert (got["kind"], got["txid"], got["last_commit_lsn"], got["linked_key"]) == ("read", None, None, None)


def test_a_read_of_an_incremental_snapshot_stands_behind_the_last_commit_sent(read: Read) -> None:
    got = read.good[_place("incremental read")]
    assert (got["kind"], got["lsn"]) == ("read", 50)


def test_a_delete_takes_its_key_from_kafka_and_nothing_from_before(read: Read) -> None:
    got = read.good[_place("delete")]
    assert (got["kind"], got["id"]) == ("delete", 77)
    assert {got[name] for name in THINGS.column_names if name != "id"} == {None}


def test_a_truncate_needs_no_key(read: Read) -> None:
    assert read.truncates[_place("truncate")] == Truncate(1, 50, 7, _place("truncate"), wire.COMMITTED_US)


def test_a_tombstone_still_names_its_key() -> None:
    decoder = Decoder(THINGS, [])
    assert decoder.key_of_tombstone(wire.records([OTHERS["tombstone"]])[0]) == (77,)


def test_an_unchanged_value_is_known_by_our_placeholder_in_every_form(read: Read) -> None:
    got = read.good[_place("unchanged")]
    assert got["unchanged"] == ("note", "raw", "tags")
    assert (got["note"], got["raw"], got["tags"]) == (None, None, None)
    uuids = read.good[_place("unchanged uuid[]")]
    assert (uuids["unchanged"], uuids["tags"]) == (("tags",), None)


def test_a_text_key_that_came_unchanged_is_no_key() -> None:
    named = replace(THINGS, key=("note",))
    made = Decoder(named, [PLACEHOLDER]).decode(wire.records([row("u", note=PLACEHOLDER)]))
    assert [fault.detail for fault in made.faults] == ["note: a key column needs a value"]


def test_the_content_hash_covers_the_declared_columns_and_no_more(read: Read) -> None:
    first, same, other = (read.good[_place(name)]["content_hash"] for name in ("create", "same again", "other content"))
    assert first == same
    assert first != other


def test_the_content_hash_tells_an_unchanged_value_from_any_text(read: Read) -> None:
    unchanged, text = (read.good[_place(name)]["content_hash"] for name in ("unchanged", "unchanged text in its place"))
    assert unchanged != text


def test_a_broken_expectation_of_severity_flag_refuses_nothing(read: Read) -> None:
    assert _place("flagged") in read.good


def test_a_large_text_is_no_junk(read: Read) -> None:
    assert len(read.good[_place("huge")]["note"]) == 8_000_000


def test_a_key_waits_wherever_it_can_be_read(read: Read) -> None:
    assert read.blocked[_place("not JSON, with a key")] == Place((99,), 1, None, _place("not JSON, with a key"))
    assert read.blocked[_FIRST_MISFIT].lsn == 50
    assert not set(read.blocked) & set(read.good)


def test_an_arrow_table_of_bronze_is_read_like_records() -> None:
    records = wire.records(_RECORDS)
    made = envelope.decode(THINGS, wire.arrow(_RECORDS), ["__older", PLACEHOLDER], "shop")
    assert made == Decoder(THINGS, ["__older", PLACEHOLDER], "shop").decode(records)


def test_a_lake_written_by_spark_goes_on() -> None:
    """What Spark made of these records, before this decoder was: reasons, details, hashes, unchanged columns and linked keys."""
    lines = [json.loads(line) for line in (Path(__file__).parent / "decoded_by_spark.jsonl").read_text().splitlines()]
    for line in lines:
        value, key = (None if line[part] is None else b64decode(line[part]) for part in ("value", "key"))
        received = Received(value, key=key, epoch=line["epoch"], headers=tuple(map(tuple, line["headers"])))
        made = Decoder(THINGS, ["__older", PLACEHOLDER], "shop").decode(wire.records([received]))
        if line["reason"]:
            assert [(fault.reason, fault.detail) for fault in made.faults] == [(line["reason"], line["detail"])], value
        else:
            got = [(change.content_hash, list(change.unchanged), change.linked_key) for change in made.changes]
            assert got == [(line["content_hash"], line["unchanged"], line["linked_key"])], value
    assert len(lines) > 200
