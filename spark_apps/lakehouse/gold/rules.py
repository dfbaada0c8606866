"""Types on which Spark and DuckDB agree, and rewrites of expressions where DuckDB's result would differ.

Observed differences: Spark truncates a double cast to a whole number, DuckDB rounds it; the quotient of decimals is a decimal in Spark and
a double in DuckDB; a product of decimals overflows in DuckDB at 18 digits; division by zero is an error only in Spark; Spark casts a text
that is compared with a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce

from sqlglot import exp

from lakehouse.gold.functions import PREFIX

Node = exp.Expr
Fault = tuple[Node, str]

_KINDS = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INT", "BIGINT"), "whole"),
    "DECIMAL": "decimal",
    **dict.fromkeys(("FLOAT", "DOUBLE"), "double"),
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR"), "text"),
    "BOOLEAN": "boolean",
    "DATE": "day",
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPLTZ"), "time"),
    "NULL": "null",
}
_CASTS = {
    *(("whole", "whole"), ("whole", "decimal"), ("whole", "double"), ("whole", "text"), ("decimal", "decimal")),
    *(("time", "day"), ("day", "time"), ("time", "time"), ("day", "day"), ("text", "text"), ("boolean", "boolean"), ("double", "double")),
}
# A decimal of up to this many digits is the same double on both engines; beyond, DuckDB's conversion is not exact.
_DIGITS_OF_A_DOUBLE = 15
_MOST_DIGITS = 38
# Digits of a whole number that is combined with a decimal, in Spark.
_WHOLE_DIGITS = {"TINYINT": 3, "SMALLINT": 5, "INT": 10, "BIGINT": 20}
_DIVISIONS: dict[type[exp.Expr], str] = {exp.Div: "divide", exp.IntDiv: "div", exp.Mod: "mod"}
_COMPARED = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ)
_TOGETHER = (exp.Coalesce, exp.Greatest, exp.Least, exp.Nullif)
_GENERATED = "is_generated"


def kind(node: Node) -> str:
    """The kind of an expression's value; empty if unknown."""
    return _KINDS.get(node.type.this.name, "") if node.type else ""


def pinned(node: Node, type_: str) -> exp.Cast:
    """A translated expression, cast to its type in Spark."""
    result = exp.cast(node, exp.DataType.build(type_, dialect="spark"), copy=False)
    result.meta[_GENERATED] = True
    return result


def type_of_number(text: str) -> str:
    """Spark's type of a number literal with a point or an exponent."""
    if "e" in text.lower():
        return "DOUBLE"
    whole, _, fraction = text.partition(".")
    digits = len(whole.lstrip("0")) + len(fraction)
    return f"DECIMAL({max(digits, 1)},{len(fraction)})"


def faults(tree: Node) -> Iterator[Fault]:
    """Every node whose types the engines treat differently."""
    for node in tree.walk():
        reason = _fault(node)
        if reason:
            yield node, reason


def _fault(node: Node) -> str:
    if isinstance(node, exp.Cast):
        return "" if node.meta.get(_GENERATED) else _cast_fault(node)
    if isinstance(node, exp.Count) and node.expressions:
        return "count() takes one argument: the engines count rows with NULLs among several differently"
    if isinstance(node, exp.Sum):
        return _needs(node.this, ("whole", "decimal"), "the sum of doubles depends on the order of rows")
    if isinstance(node, exp.Round):
        return _needs(node.this, ("whole", "decimal"), "round() of a double differs between the engines: cast to a decimal")
    if isinstance(node, exp.Abs | exp.Neg):
        return _needs(node.this, ("whole", "decimal", "double"), "a number is required")
    if isinstance(node, exp.IntDiv | exp.Mod):
        return _of_all(node, ("whole",), "DIV and % take whole numbers")
    if isinstance(node, exp.Div):
        return _of_all(node, ("whole", "double"), "the quotient of decimals differs between the engines: use DIV, or doubles")
    if isinstance(node, exp.Add | exp.Sub | exp.Mul):
        reason = _of_all(node, ("whole", "decimal", "double"), "numbers are required; use date_add() for days")
        return reason or _mixed(_operands(node)) or _digits_fault(node)
    if isinstance(node, exp.Concat | exp.Length | exp.Replace):
        texts = [*([node.this] if node.this else []), *node.expressions]
        return next((reason for text in texts if (reason := _needs(text, ("text",), "a text is required"))), "")
    return _mixed(_compared(node))


def _compared(node: Node) -> list[Node]:
    """Expressions whose values a node compares or combines."""
    if isinstance(node, _COMPARED):
        return _operands(node)
    if isinstance(node, exp.Between):
        return [node.this, node.args["low"], node.args["high"]]
    if isinstance(node, exp.In):
        query = node.args.get("query")
        return [node.this, *node.expressions, *(query.unnest().selects if query else [])]
    if isinstance(node, exp.Case):
        return [*(each.args["true"] for each in node.args["ifs"]), *([node.args["default"]] if node.args.get("default") else [])]
    if isinstance(node, _TOGETHER):
        return [node.this, *node.expressions, *([node.expression] if node.args.get("expression") else [])]
    if isinstance(node, exp.Union):
        pairs = zip(node.left.selects, node.right.selects, strict=False)
        return next(([one, other] for one, other in pairs if _mixed([one, other])), [])
    return []


def _operands(node: Node) -> list[Node]:
    return [node.args["this"], node.args["expression"]]


def _mixed(nodes: list[Node]) -> str:
    """Why these values cannot be combined; empty if they can. Whole numbers combine with every number."""
    kinds = {kind(node) for node in nodes} - {"null"}
    if len(kinds) <= 1 and "" not in kinds:
        return ""
    if kinds in ({"whole", "decimal"}, {"whole", "double"}):
        return ""
    if "" in kinds:
        return "the type of an operand is unknown: cast it"
    return f"{' and '.join(sorted(kinds))} are combined: cast one of them"


def _digits_fault(node: Node) -> str:
    """A fault if a result may need more digits than the maximum: Spark then keeps fewer decimals."""
    digits, _ = digits_of(node) if "decimal" in map(kind, _operands(node)) else (0, 0)
    return f"the result may need {digits} digits, more than {_MOST_DIGITS}: cast an operand to fewer" if digits > _MOST_DIGITS else ""


def digits_of(node: Node) -> tuple[int, int]:
    """Precision and scale of a number in Spark, before it is limited to 38 digits."""
    if isinstance(node, exp.Paren | exp.Neg | exp.Abs | exp.Min | exp.Max | exp.Alias | exp.Window | exp.Filter | exp.Distinct):
        return digits_of(node.this or node.expressions[0])
    if isinstance(node, exp.Literal):
        return len(node.this), 0
    if isinstance(node, exp.Add | exp.Sub | exp.Mul):
        (one, one_scale), (other, other_scale) = map(digits_of, _operands(node))
        if isinstance(node, exp.Mul):
            return one + other + 1, one_scale + other_scale
        scale = max(one_scale, other_scale)
        return max(one - one_scale, other - other_scale) + scale + 1, scale
    if isinstance(node, exp.Sum):
        digits, scale = digits_of(node.this)
        return min(digits + 10, _MOST_DIGITS), scale
    if isinstance(node, exp.Case | exp.Coalesce | exp.Greatest | exp.Least):
        found = [digits_of(each) for each in _compared(node) if kind(each) != "null"]
        scale = max(scale for _, scale in found)
        return max(digits - scale for digits, scale in found) + scale, scale
    name = node.type.this.name if node.type else ""
    if name in _WHOLE_DIGITS:
        return _WHOLE_DIGITS[name], 0
    given = [int(each.name) for each in node.type.expressions] if node.type else []
    return (given[0], given[1] if len(given) > 1 else 0) if given else (_MOST_DIGITS, 0)


def _needs(node: Node, kinds: tuple[str, ...], reason: str) -> str:
    return "" if kind(node) in (*kinds, "null") else f"{reason} (this is {kind(node) or 'of unknown type'})"


def _of_all(node: Node, kinds: tuple[str, ...], reason: str) -> str:
    return next((fault for each in _operands(node) if (fault := _needs(each, kinds, reason))), "")


def _cast_fault(node: exp.Cast) -> str:
    given, wanted = kind(node.this), kind(node)
    if given == "null" or (given, wanted) in _CASTS:
        return ""
    if isinstance(node.this, exp.Literal) and node.this.is_string and wanted in ("day", "time"):
        return ""  # DATE'2026-01-01'
    if (given, wanted) == ("decimal", "double"):
        digits = node.this.type.expressions[0].name if node.this.type and node.this.type.expressions else "38"
        if int(digits) <= _DIGITS_OF_A_DOUBLE:
            return ""
        return f"a decimal of more than {_DIGITS_OF_A_DOUBLE} digits cast to a double differs between the engines"
    return f"a {given or 'value of unknown type'} cast to a {wanted or node.to.sql('spark')} differs between the engines"


def output_faults(tree: Node, output: Mapping[str, str]) -> Iterator[str]:
    """Differences between a query's columns and the declared ones, in order."""
    given = {column.alias_or_name: column for column in (tree.selects if isinstance(tree, exp.Query) else [])}
    if output and list(given) != list(output):
        yield f"returns the columns {', '.join(given)}; declared are {', '.join(output)}"
        return
    for name, type_ in output.items():
        wanted = _KINDS.get(exp.DataType.build(type_, dialect="spark").this.name, type_)
        if kind(given[name]) not in (wanted, "null") and (kind(given[name]), wanted) != ("whole", "decimal"):
            yield f"returns {name} as a {kind(given[name]) or 'value of unknown type'}; declared is {type_}"


def translated(tree: Node) -> Node:
    """The typed tree for DuckDB: expressions that it evaluates differently are replaced."""
    return rewritten(tree, _translate)


def rewritten(tree: Node, change: Callable[[Node], Node]) -> Node:
    """The tree with each node changed, inner nodes first; it is changed in place."""
    for node in reversed(list(tree.walk())):
        result = change(node)
        if result is not node and node is tree:
            tree = result
        elif result is not node:
            node.replace(result)
    return tree


def _translate(node: Node) -> Node:
    if type(node) in _DIVISIONS:
        result = exp.Anonymous(this=f"{PREFIX}{_DIVISIONS[type(node)]}", expressions=_operands(node))
        return _typed_as(_as_bigint(result) if isinstance(node, exp.IntDiv) else result, node)
    if isinstance(node, exp.Window | exp.Filter | exp.Sum) and not isinstance(node.parent, exp.Window | exp.Filter) and _is_whole_sum(node):
        # DuckDB's sum of whole numbers has 128 bits, Spark's has 64.
        return _typed_as(_as_bigint(node.copy()), node)
    if isinstance(node, exp.Mul | exp.Add | exp.Sub) and "decimal" in map(kind, _operands(node)):
        # Widen first: otherwise DuckDB rejects results of more than 18 digits.
        one = exp.cast(exp.Literal.number(1), "decimal(19,0)", dialect="duckdb")
        wide = exp.Paren(this=exp.Mul(this=exp.Paren(this=node.args["this"]), expression=one))
        return _typed_as(type(node)(this=wide, expression=exp.Paren(this=node.args["expression"])), node)
    if isinstance(node, exp.ArgMin | exp.ArgMax):
        name = "arg_min_null" if isinstance(node, exp.ArgMin) else "arg_max_null"
        return _typed_as(exp.Anonymous(this=name, expressions=[node.this, node.expression]), node)
    if isinstance(node, exp.Concat):
        texts = reduce(lambda one, other: exp.DPipe(this=one, expression=other), node.expressions)
        return _typed_as(exp.Paren(this=texts), node)
    return node


def _is_whole_sum(node: Node) -> bool:
    while isinstance(node, exp.Window | exp.Filter):
        node = node.this
    return isinstance(node, exp.Sum) and kind(node.this) == "whole"


def _as_bigint(node: Node) -> Node:
    return exp.cast(node, "bigint", copy=False, dialect="duckdb")


def _typed_as(result: Node, node: Node) -> Node:
    result.type = node.type
    return result
