"""Values of every type of Postgres: what is written, and what must arrive where the type is carried."""

from __future__ import annotations

from typing import Any, NamedTuple

# Types that the samples need and Postgres does not bring.
SETUP = (
    "CREATE TYPE shop.mood AS ENUM ('sad', 'happy')",
    "CREATE TYPE shop.pair AS (a int, b text)",
    "CREATE TYPE shop.floats AS RANGE (subtype = float8)",
    "CREATE DOMAIN shop.word AS text",
    "CREATE DOMAIN shop.name_of_word AS shop.word",
    "CREATE DOMAIN shop.words AS text[]",
)
# Random, so that it does not compress: large enough to be stored out of line.
LONG = "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 400))"


class Differs(NamedTuple):
    """What arrives where the snapshot does not say the same as the stream."""

    snapshot: str
    stream: str


class Carried(NamedTuple):
    """A type as a declaration has it; `values` are SQL and what arrives; `large` is SQL of a value that is stored out of line."""

    name: str
    declared: str
    values: tuple[tuple[str, Any], ...]
    large: str | None = None
    sql: str | None = None


_ISO = "2026-11-27T10:34:56.789012Z"
_DAYS = (("'1500-03-01'", "1500-03-01T00:00:00"), ("'0001-01-01'", "0001-01-01T00:00:00"), ("'0044-03-15 BC'", "-0043-03-15T00:00:00"))
_EARLY_PLAIN = tuple((value, f"{day}Z") for value, day in _DAYS)
_EARLY = tuple((value, f"{day}.000000Z") for value, day in _DAYS)
_INFINITE_PLAIN = (("'infinity'", "+292278994-08-16T23:00:00Z"), ("'-infinity'", "-292275055-05-16T23:00:00Z"))

CARRIED = (
    Carried("bool", "BOOLEAN", (("true", True), ("false", False))),
    Carried("int2", "SMALLINT", (("32767", 32767), ("-32768", -32768))),
    Carried("int4", "INT", (("2147483647", 2147483647), ("-2147483648", -2147483648))),
    Carried("int8", "BIGINT", (("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)))),
    Carried("oid", "BIGINT", (("4294967295", 4294967295), ("0", 0))),
    Carried("float4", "FLOAT", (("3.4028235e38", 3.4028235e38), ("'NaN'", "NaN"), ("'-Infinity'", "-Infinity"))),
    Carried("float8", "DOUBLE", (("1.7976931348623157e308", 1.7976931348623157e308), ("5e-324", 5e-324), ("'Infinity'", "Infinity"))),
    Carried(
        "numeric",
        "DECIMAL(38,2)",
        (("1.10", "1.10"), ("'NaN'", "NAN"), ("'-Infinity'", "NEGATIVE_INFINITY"), ("10::numeric^1000", "1" + "0" * 1000)),
        "10::numeric^131000 + (random() * 1e15)::int8",
    ),
    Carried("text", "STRING", (("''", ""), ("E'a\\n\"\\\\ \U0001f600'", 'a\n"\\ \U0001f600')), LONG),
    Carried("varchar", "STRING", (("'x'", "x"), ("''", "")), LONG, "varchar(20000)"),
    Carried("bpchar", "STRING", (("'x'", "x"),), LONG),
    Carried('"char"', "STRING", (("'x'", "x"),)),
    Carried("citext", "STRING", (("'Xy'", "Xy"),), LONG),
    Carried("an enum", "STRING", (("'sad'", "sad"),), None, "shop.mood"),
    Carried("json", "STRING", (("'{\"a\":  1}'", '{"a":  1}'), ("'null'", "null")), f"to_json({LONG})"),
    Carried("jsonb", "STRING", (("'{\"a\":  1}'", '{"a": 1}'),), f"to_jsonb({LONG})"),
    Carried("xml", "STRING", (("'<a/>'", "<a/>"),), f"('<a>' || {LONG} || '</a>')::xml"),
    Carried("uuid", "STRING", (("'00000000-0000-0000-0000-000000000001'", "00000000-0000-0000-0000-000000000001"),)),
    Carried("inet", "STRING", (("'::1/64'", "::1/64"), ("'10.0.0.1'", "10.0.0.1"))),
    Carried("cidr", "STRING", (("'10.0.0.0/8'", "10.0.0.0/8"),)),
    Carried("macaddr", "STRING", (("'08:00:2b:01:02:03'", "08:00:2b:01:02:03"),)),
    Carried("macaddr8", "STRING", (("'08:00:2b:01:02:03:04:05'", "08:00:2b:01:02:03:04:05"),)),
    Carried("int4range", "STRING", (("'[1,5)'", "[1,5)"), ("'empty'", "empty"), ("'(,)'", "(,)"))),
    Carried("int8range", "STRING", (("'[1,5)'", "[1,5)"),)),
    Carried("numrange", "STRING", (("'[1.5,5)'", "[1.5,5)"),), "numrange(0, 10::numeric^131000 + (random() * 1e15)::int8)"),
    Carried("daterange", "STRING", (("'[2026-01-01,infinity)'", "[2026-01-01,infinity)"),)),
    Carried("tsrange", "STRING", (("'[2026-01-01,2026-02-01)'", '["2026-01-01 00:00:00","2026-02-01 00:00:00")'),)),
    Carried("tstzrange", "STRING", (("'[2026-01-01,2026-02-01)'", '["2026-01-01 00:00:00+00","2026-02-01 00:00:00+00")'),)),
    Carried(
        "tsvector", "STRING", (("'a:1 b:2'", "'a':1 'b':2"), ("''", "")), f"to_tsvector('simple', {LONG.replace(chr(39) * 2, repr(' '))})"
    ),
    Carried("bytea", "BINARY", (("'\\x00ff'", "AP8="), ("''", "")), f"decode({LONG}, 'hex')"),
    Carried(
        "date",
        "DATE",
        (
            ("'2026-11-27'", "2026-11-27Z"),
            ("'1500-03-01'", "1500-03-01Z"),
            ("'0001-01-01'", "0001-01-01Z"),
            ("'10000-01-01'", "+10000-01-01Z"),
            # The defect that `source.dates_before_christ` keeps out.
            ("'0044-03-15 BC'", Differs("0044-03-15Z", "-0043-03-15Z")),
            ("'infinity'", Differs("+292278994-08-16Z", "+5877611-06-21Z")),
            ("'-infinity'", Differs("+292269055-12-02Z", "-5877611-06-22Z")),
        ),
    ),
    Carried(
        "timestamp",
        "TIMESTAMP",
        (("'2026-11-27 10:34:56.789012'", _ISO), ("'294276-12-31'", "+294276-12-31T00:00:00Z"), *_EARLY_PLAIN, *_INFINITE_PLAIN),
    ),
    Carried(
        "timestamptz",
        "TIMESTAMP",
        (("'2026-11-27 12:34:56.789012+02'", _ISO), ("'-infinity'", "-infinity"), ("'infinity'", "infinity"), *_EARLY),
    ),
    Carried("text[]", "ARRAY<STRING>", (("'{}'", []), ("ARRAY[NULL, '', 'x']", [None, "", "x"])), f"ARRAY[{LONG}, {LONG}]"),
    Carried("varchar[]", "ARRAY<STRING>", (("ARRAY['x']", ["x"]),), f"ARRAY[{LONG}]"),
    Carried("bpchar[]", "ARRAY<STRING>", (("ARRAY['x']", ["x"]),), f"ARRAY[{LONG}]"),
    Carried(
        "uuid[]",
        "ARRAY<STRING>",
        (("ARRAY['00000000-0000-0000-0000-000000000001']::uuid[]", ["00000000-0000-0000-0000-000000000001"]),),
        "(SELECT array_agg(gen_random_uuid()) FROM generate_series(1, 500))",
    ),
    # Not types of their own: a domain over a scalar is carried as that scalar, also one over another domain.
    Carried("text", "STRING", (("'word'", "word"),), LONG, "shop.word"),
    Carried("text", "STRING", (("'word'", "word"),), LONG, "shop.name_of_word"),
)

# Values of types that are left out: whatever they are, nothing may stop. Two of each: a small one, and one that is stored out of line.
_EACH = {
    "interval": "'1 day'",
    "time": "'24:00:00'",
    "timetz": "'24:00:00+00'",
    "money": "12.34",
    "name": "'x'",
    "bit": "B'1'",
    "varbit": "B'101'",
    "point": "'(1,NaN)'",
    "line": "'{1,2,3}'",
    "lseg": "'[(1,2),(3,4)]'",
    "box": "'(3,4),(1,2)'",
    "circle": "'<(1,2),3>'",
    "path": "'[(1,2),(3,4)]'",
    "polygon": "'((1,2),(3,4))'",
    "oidvector": "'1 2'",
    "int2vector": "'1 2'",
    "refcursor": "'nobody'",
    "a domain over an array": "ARRAY['a']",
    "jsonpath": "'$.a'",
    "tsquery": "'a & b'",
    "pg_lsn": "'16/B374D848'",
    "pg_snapshot": "'10:20:10,14,15'",
    "txid_snapshot": "'10:20:10,14,15'",
    "xid": "'1'",
    "xid8": "'1'",
    "cid": "'1'",
    "tid": "'(1,2)'",
    "regclass": "'pg_class'",
    "regtype": "'int4'",
    "regproc": "'now'",
    "aclitem": "'postgres=r/postgres'",
    "int4multirange": "'{[1,5)}'",
    "nummultirange": "'{[1,5)}'",
    "a composite type": "'(1,x)'",
    "a range of one's own": "'[1.5,2.5)'",
}
_OF = {
    "an array of an enum": ("shop.mood[]", "'sad'"),
    "an array of a domain": ("shop.word[]", "'word'"),
    "xml[]": ("xml[]", "'<a/>'"),
    "date[]": ("date[]", "'infinity'"),
    "timestamp[]": ("timestamp[]", "'infinity'"),
    "timestamptz[]": ("timestamptz[]", "'-infinity'"),
    "numeric[]": ("numeric[]", "'NaN'"),
    "json[]": ("json[]", "'{}'"),
    "jsonb[]": ("jsonb[]", "'{}'"),
    "bytea[]": ("bytea[]", "'\\x00'"),
    "tsvector[]": ("tsvector[]", "'a:1'"),
}
_NAMED = {
    "a domain over an array": "shop.words",
    "a composite type": "shop.pair",
    "a range of one's own": "shop.floats",
    "path": "path",
}
_LARGE = {
    "path": "(SELECT ('[' || string_agg(format('(%s,%s)', random(), random()), ',') || ']')::path FROM generate_series(1, 1000))",
    "polygon": "(SELECT ('(' || string_agg(format('(%s,%s)', random(), random()), ',') || ')')::polygon FROM generate_series(1, 1000))",
    "varbit": "(SELECT string_agg((random() < 0.5)::int::text, '') FROM generate_series(1, 100000))::varbit",
    "a domain over an array": f"ARRAY[{LONG}]",
    "a composite type": f"ROW(1, {LONG})::shop.pair",
    "int4multirange": "(SELECT range_agg(int4range(i * 2, i * 2 + 1)) FROM generate_series(1, 3000) i)",
}
_SCALARS = {"bool": "true", "oid": "1", '"char"': "'x'", "inet": "'::1'", "cidr": "'::/0'", "macaddr": "'08:00:2b:01:02:03'"}
_SCALARS |= {"macaddr8": "'08:00:2b:01:02:03:04:05'", "int4range": "'[1,5)'", "int8range": "'[1,5)'", "numrange": "'[1,5)'"}
_SCALARS |= {"daterange": "'empty'", "tsrange": "'empty'", "tstzrange": "'empty'"}
_SCALARS |= dict.fromkeys(("int2", "int4", "int8", "float4", "float8"), "1")


def left_out(name: str) -> tuple[str, str, str]:
    """SQL of a type that is left out, of a small value and of a large one."""
    if name in _EACH:
        small = _EACH[name]
        return _NAMED.get(name, name), small, _LARGE.get(name, small)
    type_, element = _OF.get(name, (name, ""))
    element = element or _SCALARS.get(name.removesuffix("[]")) or _EACH[name.removesuffix("[]")]
    of = f"{element}::{type_.removesuffix('[]')}"
    return type_, f"ARRAY[NULL, {of}]", f"(SELECT array_agg({of}) FROM generate_series(1, 9000))"
