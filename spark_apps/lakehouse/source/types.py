"""Postgres types and how capture carries their values; used by capture, gate, preflight, check and docs.

A type is carried if a declared type holds all of its values, as measured with Debezium 3.7 in snapshot and stream: null, empty, extreme,
and TOASTed while another column changes. An undeclared column of any other type is excluded from capture by name and recorded in
`silver.schema_changes` with the reason; it stops nothing. A type that is not listed is not carried.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DOMAIN_OVER = "domain over "
ENUM = "an enum"
_MODIFIER = re.compile(r"\(.*\)")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Postgres types that are handled alike. `declared` are the Spark types that hold every value; empty if not carried.

    `note` says how the values arrive, or why they are excluded.
    """

    types: tuple[str, ...]
    declared: tuple[str, ...] = ()
    note: str

    @property
    def is_carried(self) -> bool:
        """Whether a declared type holds its values."""
        return bool(self.declared)


def _listed(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_UNAVAILABLE = "its unavailable (TOAST) value cannot be converted, which stops the connector"
_OWN = "Debezium has no form for it and leaves it out of its records"

KINDS = (
    Kind(types=("bool",), declared=("BOOLEAN",), note="as it is"),
    Kind(types=("int2",), declared=("SMALLINT", "INT", "BIGINT", "DECIMAL"), note="as it is"),
    Kind(types=("int4",), declared=("INT", "BIGINT", "DECIMAL"), note="as it is"),
    Kind(types=("int8",), declared=("BIGINT", "DECIMAL"), note="as it is"),
    Kind(types=("oid",), declared=("BIGINT",), note="as it is"),
    Kind(types=("float4",), declared=("FLOAT", "DOUBLE"), note="exact, NaN and infinities included"),
    Kind(types=("float8",), declared=("DOUBLE",), note="exact, NaN and infinities included"),
    Kind(types=("numeric",), declared=("DECIMAL",), note="exact; NaN, infinities and what has too many digits go to quarantine"),
    Kind(types=("text", "varchar", "bpchar", "citext", '"char"'), declared=("STRING",), note="as it is; char(n) with its padding"),
    Kind(types=(ENUM,), declared=("STRING",), note="the label"),
    Kind(types=("json", "jsonb", "xml"), declared=("STRING",), note="the text that Postgres prints; xml was not tried"),
    Kind(types=("uuid", "inet", "cidr", "macaddr", "macaddr8"), declared=("STRING",), note="the text that Postgres prints"),
    Kind(
        types=("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange", "tsvector"),
        declared=("STRING",),
        note="the text that Postgres prints",
    ),
    Kind(types=("bytea",), declared=("BINARY",), note="as it is"),
    Kind(types=("date",), declared=("DATE",), note="infinities, BC and years beyond 9999 go to quarantine"),
    Kind(types=("timestamp", "timestamptz"), declared=("TIMESTAMP",), note="infinities, BC and years beyond 9999 go to quarantine"),
    Kind(
        types=("text[]", "varchar[]", "bpchar[]", "uuid[]"),
        declared=("ARRAY<STRING>",),
        note="NULL elements included; more than one dimension goes to quarantine, because Debezium sends the names of Java objects",
    ),
    Kind(
        types=("interval",),
        note="the driver fails on more than 2,147,483,647 hours, and Debezium tries again for ever; the text is not the one that "
        "Postgres prints",
    ),
    Kind(types=("time", "timetz"), note="24:00 arrives as 00:00"),
    Kind(types=("money",), note="its text depends on the server's locale, and the driver fails on any but the American one"),
    Kind(types=("name",), note="arrives as NULL in the stream"),
    Kind(types=("bit", "varbit"), note="arrives as bytes without its length; " + _UNAVAILABLE),
    Kind(types=("point", "line", "lseg", "box", "circle"), note="arrives as an object, which no declared type holds"),
    Kind(types=("path", "polygon"), note=_UNAVAILABLE),
    Kind(types=("oidvector", "int2vector"), note="arrives empty"),
    Kind(types=("refcursor",), note="the driver opens the cursor of that name, which stops the snapshot"),
    Kind(
        types=_listed(
            'bool[] int2[] float4[] float8[] oid[] "char"[] date[] time[] timetz[] timestamp[] timestamptz[] inet[] cidr[] macaddr[] '
            "macaddr8[] int4range[] int8range[] numrange[] daterange[] tsrange[] tstzrange[]"
        ),
        note=_UNAVAILABLE,
    ),
    Kind(types=("int4[]", "int8[]", "json[]", "jsonb[]", "bytea[]"), note="no declared type holds it"),
    Kind(types=("numeric[]",), note="NaN cannot be converted, which stops the connector; so is its unavailable (TOAST) value"),
    Kind(
        types=("bit[]", "line[]", "lseg[]", "box[]", "path[]", "polygon[]", "circle[]"),
        note="no value of it can be converted, which stops the connector",
    ),
    Kind(types=("tsvector[]",), note="a NULL element or its unavailable (TOAST) value stops the connector"),
    Kind(types=("a domain over an array",), note=_UNAVAILABLE),
    Kind(
        types=_listed(
            "money[] name[] varbit[] interval[] xml[] point[] jsonpath tsquery pg_lsn pg_snapshot txid_snapshot xid xid8 cid tid regclass "
            "regtype regproc aclitem int4multirange nummultirange"
        ),
        note=_OWN + "; so it does with the other multiranges, the other names of catalog objects (reg…), and their arrays",
    ),
    Kind(
        types=("a composite type", "a range of one's own", "an array of an enum", "an array of a domain", "a type of an extension"),
        note="Debezium leaves most of these out of its records, and stops at some of their values",
    ),
)
_BY_TYPE = {name: kind for kind in KINDS for name in kind.types}
_OF_AN_ARRAY = _BY_TYPE["a domain over an array"]
_UNLISTED = _BY_TYPE["a composite type"]
DECLARABLE = frozenset(name for kind in KINDS for name in kind.declared)
WAY_OUT = (
    "fill a column of a type that is carried from it at the source ([types](infra/docs/reference/types.md)), and declare that one, or "
    "remove the column from the declaration"
)


def kind(type_: str, is_enum: bool = False) -> Kind:
    """The kind of a type in the notation of `compatibility.described`: `numeric(10,2)`, `text[]`, `domain over text[]`."""
    if type_.startswith(DOMAIN_OVER):
        return _OF_AN_ARRAY
    if is_enum:
        return _BY_TYPE[ENUM]
    return _BY_TYPE.get(_MODIFIER.sub("", type_), _UNLISTED)


def why_left_out(type_: str, is_enum: bool = False) -> str | None:
    """Why an undeclared column of this type is excluded from capture; None if the type is carried."""
    found = kind(type_, is_enum)
    return None if found.is_carried else found.note
