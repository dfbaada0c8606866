"""Every command of `python -m lakehouse`, in the order of the help text and of the reference page.

Other packages add commands by an entry point of the group `ebap.commands`, a sequence of `Command`.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from lakehouse.cli import capture, control, declarations, live
from lakehouse.cli.command import Command

_ADDED: tuple[Command, ...] = tuple(command for point in entry_points(group="ebap.commands") for command in point.load())
COMMANDS: tuple[Command, ...] = (*declarations.COMMANDS, *control.COMMANDS, *capture.COMMANDS, *live.COMMANDS, *_ADDED)
