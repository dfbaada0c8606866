"""The view of the live half in Redis: what was counted is set, never added to, so that writing it again changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakehouse.settings import Settings
from lakehouse.transforms.live import windows
from lakehouse.transforms.live.windows import Values

if TYPE_CHECKING:
    from redis import Redis

# Whether the view has everything that it should: it is refilled after Redis was flushed or restarted.
STATE = "ebap:state"
LIVE, RECENT = "ebap:live", "ebap:recent"
READY, REFILLING = "ready", "refilling"
_KEPT_S = {"window": 24 * 3600, "eps": 3600}
_TIMEOUT_S = 5
_MOST_LIVE, _MOST_RECENT = 5000, 500


class View:
    """The keys and streams in one Redis. Every method raises redis.RedisError if it does not answer."""

    def __init__(self, settings: Settings) -> None:
        from redis import Redis

        self._redis: Redis = Redis(
            host=settings.redis_host,
            port=settings.redis_port,
            password=settings.secret("redis"),
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            decode_responses=True,
        )

    def is_filled(self) -> bool:
        """Whether Redis still has what was set; not after a flush or a restart."""
        return self._redis.get(STATE) == READY

    def set_state(self, state: str) -> None:
        """Set the state of the view: READY or REFILLING."""
        self._redis.set(STATE, state)

    def publish(
        self,
        changed: Mapping[int, Mapping[str, Values]],
        *,
        is_final: bool = False,
        per_second: Mapping[int, int] | None = None,
        recent: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Set windows by start and events by second, send each to the stream of changes, and recent events to theirs; in one round trip."""
        documents: dict[str, str] = {}
        for start, values in changed.items():
            documents[f"active_users:{start}"] = _text(windows.active_users(start, values, is_final=is_final))
            documents[f"regional_health:{start}"] = _text(windows.regional_health(start, values, is_final=is_final))
        documents |= {f"eps:{second}": str(count) for second, count in (per_second or {}).items()}
        if not documents and not recent:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for key, value in documents.items():
            pipeline.set(key, value, ex=_KEPT_S["eps" if key.startswith("eps:") else "window"])
            pipeline.xadd(LIVE, {"key": key, "value": value}, maxlen=_MOST_LIVE, approximate=True)
        for event in recent:
            pipeline.xadd(RECENT, {"event": _text(event)}, maxlen=_MOST_RECENT, approximate=True)
        pipeline.execute()


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))
