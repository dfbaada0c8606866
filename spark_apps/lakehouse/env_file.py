"""Parser of `.env` files, compatible with shells, Compose and systemd."""

from __future__ import annotations

import re
from pathlib import Path

from lakehouse.errors import SettingsError

_QUOTES = ("'", '"')
# With optional `export` and a trailing comment after a space.
_ASSIGNMENT = re.compile(r"""(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>"[^"]*"|'[^']*'|[^\s"'#].*?|)\s*(?:(?<=\s)#.*)?""")


def read(path: Path) -> dict[str, str]:
    """The file's assignments, none if there is no file; SettingsError names a line that is not one."""
    values: dict[str, str] = {}
    # A file written on Windows may have a byte order mark and carriage returns.
    lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            found = _ASSIGNMENT.fullmatch(line)
            if not found:
                raise SettingsError(f"line {number} of {path} is {line!r}", "write NAME=value, the value in quotes or without any")
            value = found["value"]
            values[found["name"]] = value[1:-1] if value[:1] in _QUOTES else value
    return values
