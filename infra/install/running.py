"""Runs pip, uv and npm with a controlled environment. Standard library only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lakehouse import process
from lakehouse.errors import EbapError
from lakehouse.settings import PROJECT, Settings, variable

# The machine's variables for package indexes, proxies and certificates are kept; those that change the target are not.
_WHERE_FROM = re.compile(
    r"(PIP|UV)_(.*INDEX.*|FIND_LINKS|.*HOST|.*CERTS?|NATIVE_TLS|PROXY|.*TIMEOUT|.*RETRIES|CONFIG_FILE|KEYRING_PROVIDER|OFFLINE"
    r"|COMPILE_BYTECODE|LINK_MODE|CONCURRENT_.*)"
)
_ELSEWHERE = ("PIP_", "UV_", "VIRTUAL_ENV", "CONDA_", "NODE_ENV", "NODE_OPTIONS", "NODE_PATH")


def run(settings: Settings, part: str, command: list[str], *, is_shown: bool = False) -> None:
    """Run a command of the installer. Raises EbapError with the end of its output."""
    output = None if is_shown else subprocess.PIPE
    done = subprocess.run(command, cwd=PROJECT, env=variables(settings), stdout=output, stderr=output, text=True)
    if done.returncode:
        seen = f":\n{((done.stdout or '') + (done.stderr or ''))[-2000:]}" if output else ""
        raise EbapError(f"{part} could not be installed{seen}", "check the network and run `make install` again, which continues")


def variables(settings: Settings) -> dict[str, str]:
    """The environment of these commands: the shell's, proxies included, without variables that change the target."""
    shell = {
        name: value
        for name, value in os.environ.items()
        if not process.is_foreign(name) and (_WHERE_FROM.fullmatch(name) or not name.startswith(_ELSEWHERE))
    }
    return {
        # Use the certificates that this machine trusts, as pip does, for companies' proxies.
        "UV_SYSTEM_CERTS": "true",
        "NODE_USE_SYSTEM_CA": "1",
        **shell,
        "UV_CACHE_DIR": str(settings.cache_dir / "uv"),
        "PIP_CACHE_DIR": str(settings.cache_dir / "pip"),
        # Not always the shell's: the tests need the live half's jars.
        variable("live"): settings.live,
        # Overrides a configuration file.
        "PIP_USER": "0",
        "PATH": f"{boot_bin(settings)}{os.pathsep}{shell.get('PATH', os.defpath)}",
    }


def boot_bin(settings: Settings) -> Path:
    """Folder of uv and of the Python with jgo and hatchling."""
    return settings.home_dir / "venv" / "boot" / "bin"


def timed(name: str, do: Callable[[], None]) -> None:
    """Run `do` and print how long it took."""
    began = time.monotonic()
    do()
    print(f"✓ {name:<24}{time.monotonic() - began:6.1f} s", flush=True)


def quiet() -> list[str]:
    """Options that suppress progress output if standard error is not a terminal."""
    return [] if sys.stderr.isatty() else ["-q"]
