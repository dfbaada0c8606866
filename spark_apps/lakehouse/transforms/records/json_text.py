"""JSON as Jackson reads and writes it; content hashes are computed from that text.

A value's text is the string itself, the number as Jackson writes it, or a nested value written without spaces. The lake stores hashes of
these texts, so they must not change: an int keeps its digits (`-0` is `0`), a float is written as Java's Double.toString does, and within a
nested value a character beyond U+FFFF is written as a surrogate pair. An unpaired surrogate is replaced by `?`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

# Maximum nesting depth, as in Jackson; it includes the array that Spark's reader puts around a record.
MAX_DEPTH = 999
_MANY_BRACKETS = 150
_DEEP_RECURSION = 20_000

# A float written by Java is kept as it is: Java before 19 sometimes wrote one digit more than needed.
_JAVA_FLOAT = re.compile(r"-?(?:(?:0|[1-9][0-9]{0,6})\.(?:0|[0-9]*[1-9])|[1-9]\.(?:0|[0-9]*[1-9])E-?[1-9][0-9]*)")
_LONGEST_JAVA_FLOAT = 25
_ESCAPES = {code: f"\\u{code:04X}" for code in range(0x20)} | {
    ord(sign): f"\\{short}" for sign, short in zip('"\\\b\t\n\f\r', '"\\btnfr', strict=True)
}
_is_escaped = re.compile(r'["\\\x00-\x1f]').search
_SURROGATES = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")


class Number(str):
    """The text of a JSON number."""

    __slots__ = ()


class Repeated(dict[str, Any]):
    """An object with repeated names: the last value of each name; `pairs` has all of them."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeated(pairs)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def java_float(text: str) -> Number:
    """A JSON number with a point or an exponent as Java's Double.toString writes it; a quoted word if it exceeds a double's range.

    Debezium's numbers already have this form and are kept.
    """
    number = float(text)
    size = abs(number)
    sign = "-" if text[0] == "-" else ""
    if size == float("inf"):
        return Number(f'"{sign}Infinity"')
    if size == 0:
        return Number(f"{sign}0.0")
    is_plain = 1e-3 <= size < 1e7
    if len(text) <= _LONGEST_JAVA_FLOAT and is_plain == ("E" not in text) and _JAVA_FLOAT.fullmatch(text):
        return Number(text)
    digits, exponent = _digits(size)
    if not is_plain:
        return Number(f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}")
    if exponent < 0:
        return Number(f"{sign}0.{'0' * (-exponent - 1)}{digits}")
    return Number(f"{sign}{digits[: exponent + 1].ljust(exponent + 1, '0')}.{digits[exponent + 1 :] or '0'}")


def _digits(size: float) -> tuple[str, int]:
    """The fewest digits that identify the number (two where that is nearer than one), and the decimal exponent of the first digit."""
    shortest = Decimal(repr(size))
    digits = "".join(map(str, shortest.as_tuple().digits)).rstrip("0")
    two = f"{size:.1e}"
    if len(digits) == 1 and float(two) == size:
        return (two[0] + two[2]).rstrip("0"), int(two[4:])
    return digits, shortest.adjusted()


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=java_float, parse_int=Number, parse_constant=_refuse)
_scan: Callable[[str, int], tuple[Any, int]] = _DECODER.scan_once  # type: ignore[attr-defined]
_whitespace = re.compile(r"[ \t\n\r]*").match


def read(text: str) -> Any:
    """The JSON value of the text; ValueError if it is invalid or followed by other text. Numbers are `Number`, null is None.

    Unpaired surrogates are replaced by `?` in strings down to two levels of members.
    """
    value, end = _first(text)
    if end != len(text) and _whitespace(text, end).end() != len(text):  # type: ignore[union-attr]
        raise ValueError("text follows the value")
    return _replaced(value, 2) if _has_surrogates(text) else value


def first(text: str) -> Any:
    """The JSON value at the beginning of the text; ValueError if there is none. As `read`, but for one level of members."""
    value, _ = _first(text)
    return _replaced(value, 1) if _has_surrogates(text) else value


def _first(text: str) -> tuple[Any, int]:
    begin = _whitespace(text, 0).end()  # type: ignore[union-attr]
    is_deep = text.count("{") + text.count("[") > _MANY_BRACKETS
    if is_deep and _depth(text) > MAX_DEPTH:
        raise ValueError("the value is nested too deep")
    try:
        value, end = _deeply(_scan, text, begin) if is_deep else _scan(text, begin)
    except StopIteration as error:
        raise ValueError("the text does not begin with a JSON value") from error
    return value, end


def _has_surrogates(text: str) -> bool:
    return "\\ud" in text or "\\uD" in text


def _deeply(function: Callable[..., Any], *given: Any) -> Any:
    """Call a function whose recursion depth is the nesting depth of a value, which can exceed Python's limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEP_RECURSION))
    try:
        return function(*given)
    finally:
        sys.setrecursionlimit(limit)


def _depth(text: str) -> int:
    """Nesting depth of the text, as far as it is JSON."""
    depth = deepest = 0
    inside = False
    for match in re.finditer(r'\\.|["\[\]{}]', text, re.DOTALL):
        sign = match[0]
        if sign == '"':
            inside = not inside
        elif inside or sign[0] == "\\":
            continue
        elif sign in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_DEPTH:
                break
        else:
            depth -= 1
    return deepest


def _replaced(value: Any, levels: int) -> Any:
    """The value with `?` for each unpaired surrogate, down to that many levels of members."""
    kind = type(value)
    if kind is str:
        return value.encode("utf-8", "replace").decode()
    if not levels:
        return value
    if kind is list and levels == 1:
        return [_replaced(part, 0) for part in value]
    if isinstance(value, dict):
        pairs = value.pairs if isinstance(value, Repeated) else list(value.items())
        return _object([(_replaced(name, 0), _replaced(part, levels - 1)) for name, part in pairs])
    return value


def text_of(value: Any) -> str | None:
    """The text of a parsed value; None for null."""
    kind = type(value)
    if kind is str or value is None:
        return value  # type: ignore[no-any-return]
    if kind is Number:
        return "0" if value == "-0" else value  # type: ignore[no-any-return]
    try:
        return written(value)
    except RecursionError:
        return str(_deeply(written, value))


def written(value: Any) -> str:
    """A parsed value as Jackson writes it: without spaces, with repeated names kept."""
    kind = type(value)
    if kind is str:
        return _SURROGATES.sub(_escaped_units, quoted(value))
    if kind is Number:
        return "0" if value == "-0" else str(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is list:
        return f"[{','.join(map(written, value))}]"
    pairs = value.pairs if kind is Repeated else value.items()
    return "{" + ",".join(f"{written(name)}:{written(part)}" for name, part in pairs) + "}"


def quoted(text: str) -> str:
    """A JSON string with Jackson's escapes: short ones, and `\\u001F` in upper case."""
    return f'"{text.translate(_ESCAPES)}"' if _is_escaped(text) else f'"{text}"'


def _escaped_units(character: re.Match[str]) -> str:
    units = character[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place]:02X}{units[place + 1]:02X}" for place in range(0, len(units), 2))
