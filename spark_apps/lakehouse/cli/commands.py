"""Every command of `python -m lakehouse`, in the order of the help text and of the reference page."""

from __future__ import annotations

from lakehouse.cli import capture, control, declarations, machines
from lakehouse.cli.command import Command

COMMANDS: tuple[Command, ...] = (*declarations.COMMANDS, *control.COMMANDS, *capture.COMMANDS, *machines.COMMANDS)
