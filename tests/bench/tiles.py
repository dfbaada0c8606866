"""Line 11, its first part: the tiles of the boards' page over HTTP, for one viewer and for eight, while the shop trades and silver runs.

A viewer opens one board after the other, all tiles of each at once as a browser does, and looks at it for two seconds. The limit is the
smallest answer of the same server, asked for in the same minutes.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import requests

from dashboards.metabase import files
from generator.control import Control
from infra.services import runs
from lakehouse.settings import Settings
from tests.bench import pressure
from tests.bench.sides import begin, p95, report, timed

# Viewers, and the greatest p95 of a tile in milliseconds.
VIEWERS = ((1, 100), (8, 200))
MEMORY_MB = 400
WINDOW_S = 120
_LOOKS_S = 2.0
# A browser opens six connections to a server.
_CONNECTIONS = 6


def page(settings: Settings) -> None:
    """The p95 of a tile against its limit, and the memory of the server afterwards."""
    begin(f"11  tiles of the boards' page over {WINDOW_S} s, silver running at {settings.rate:g} operations per second")
    control = Control(settings.control_dir)
    with pressure.restored(control):
        pressure.trade(control, "running", settings.rate)
        for viewers, target_ms in VIEWERS:
            tiles, limits = _viewed(settings, viewers)
            ratio = p95(tiles) / p95(limits)
            middle_ms = 1000 * statistics.median(tiles)
            context = f"p95 {1000 * p95(tiles):.0f} ms (target {target_ms}), median {middle_ms:.0f} ms, {len(tiles):,} tiles"
            report(f"{viewers} viewers, p95 of a tile / of the smallest answer", [ratio], context)
    pid = runs.read(settings, "boards").pid
    assert pid  # it has just answered
    print(f"    memory of the server: {psutil.Process(pid).memory_full_info().pss / 2**20:.0f} MB (target {MEMORY_MB})", flush=True)


def _viewed(settings: Settings, viewers: int) -> tuple[list[float], list[float]]:
    """Seconds of each tile, and of each smallest answer, as the viewers met them."""
    ended = threading.Event()
    with ThreadPoolExecutor(viewers) as pool:
        views = [pool.submit(_view, settings, number, ended) for number in range(viewers)]
        ended.wait(WINDOW_S)
        ended.set()
        results = [view.result() for view in views]
    return [each for tiles, _ in results for each in tiles], [each for _, limits in results for each in limits]


def _view(settings: Settings, seed: int, ended: threading.Event) -> tuple[list[float], list[float]]:
    base = settings.boards_url
    boards = [(f"{base}/api/boards/{board.name}", [tile.question.name for tile in board.tiles]) for board in files.boards().values()]
    tiles, limits = list[float](), list[float]()
    time.sleep(random.Random(seed).uniform(0, _LOOKS_S))  # viewers do not begin at once
    with requests.Session() as client, ThreadPoolExecutor(_CONNECTIONS) as connections:
        while not ended.is_set():
            for board, names in boards:
                tiles += connections.map(lambda name, at=board: _seconds(client, f"{at}/{name}"), names)
                limits.append(_seconds(client, f"{base}/health"))
                ended.wait(_LOOKS_S)
    return tiles, limits


def _seconds(client: requests.Session, url: str) -> float:
    seconds, answer = timed(lambda: client.get(url, timeout=60))
    answer.raise_for_status()
    return seconds
