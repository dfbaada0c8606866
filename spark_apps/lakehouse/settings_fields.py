"""Fields of the settings: text or number, port, host; their variables, and how a text of the environment becomes a value."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Any

from lakehouse.errors import SettingsError

LOOPBACK = "127.0.0.1"


def setting(default: str | int, doc: str, choices: tuple[str, ...] = (), limits: tuple[int, int] | None = None) -> Any:
    """A text, one of `choices` if there are any, or a number, within `limits` if there are any."""
    return field(default=default, metadata={"doc": doc, "choices": choices, "limits": limits})  # type: ignore[call-overload]


def port(default: int, what: str) -> Any:
    """A port that a service listens on."""
    return field(default=default, metadata={"doc": f"Port of {what}.", "is_port": True})


def host(whom: str) -> Any:
    """A host that other services connect to."""
    return setting(LOOPBACK, f"Host under which the other services reach {whom}.")


def variable(name: str) -> str:
    """The environment variable of that setting."""
    return f"EBAP_{name.upper()}"


def parse(name: str, text: str, entry: dataclasses.Field[Any]) -> str | int:
    """The value of that variable; SettingsError if it does not fit its field."""
    if entry.type != "int":
        choices = entry.metadata.get("choices")
        if choices and text not in choices:
            raise SettingsError(f"{name} is {text!r}", f"give one of {', '.join(choices)}")
        return text
    try:
        number = int(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}", f"give a whole number, such as {entry.default}") from None
    if entry.metadata.get("is_port") and not 1 <= number <= 65535:
        raise SettingsError(f"{name} is {number}", "give a port from 1 to 65535")
    if number < 0:
        raise SettingsError(f"{name} is {number}", "give a number that is not negative")
    limits = entry.metadata.get("limits")
    if limits and not limits[0] <= number <= limits[1]:
        raise SettingsError(f"{name} is {number}", f"give a number from {limits[0]} to {limits[1]}")
    return number
