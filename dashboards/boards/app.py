"""The HTTP server of the boards' page: GET only; it answers the questions in files and accepts no SQL."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from dashboards.boards import metrics, shell
from dashboards.boards.answers import Answers
from dashboards.metabase import available, files
from lakehouse import tables
from lakehouse.errors import EbapError, SettingsError
from lakehouse.settings import LOOPBACK, Settings

log = logging.getLogger(__name__)

_STATIC = Path(__file__).parent / "static"
# Boards that are not listed here follow, sorted by name.
_ORDER = ("orders_live", "sales_trends", "customers", "products")
_HEADERS = {
    # ECharts writes style attributes into its tooltips; scripts are loaded from this server only.
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def application(settings: Settings) -> FastAPI:
    """The service; raises SettingsError if the page's assets are not installed, BoardError for an invalid file."""
    echarts = settings.home_dir / "assets" / "echarts.min.js"
    if not echarts.is_file():
        raise SettingsError(f"there is no {echarts}", "run `make install`")
    shown = available.shown(files.boards(), tables.GOLD)
    for line in shown.left_out.values():
        log.warning(line)
    boards = shown.boards
    choices = {board.name: available.choices(board, tables.GOLD) for board in boards.values()}
    of_filters = {question.name: question for each in choices.values() for question in each.values()}
    answers = Answers(settings, [*shown.questions.values(), *of_filters.values()])
    in_order = sorted(boards.values(), key=lambda board: _ORDER.index(board.name) if board.name in _ORDER else len(_ORDER))

    @contextlib.asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=answers.warm, daemon=True, name="warm").start()
        yield
        answers.close()

    app = FastAPI(title="EBAP boards", lifespan=running, docs_url=None, redoc_url=None, openapi_url=None)
    # Protects against DNS rebinding.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[settings.public_host, settings.boards_host, LOOPBACK, "localhost"])

    @app.middleware("http")
    async def with_headers(request: Request, call_next: Any) -> Response:
        answer: Response = await call_next(request)
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    @app.get("/")
    def root() -> RedirectResponse:
        return RedirectResponse(f"/boards/{in_order[0].name}" if in_order else "/freshness")

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/boards/{name}")
    def page(name: str, request: Request) -> HTMLResponse:
        board = _one(boards, name)
        chosen = {filter_name: answers.choices(question) for filter_name, question in choices[name].items()}
        return HTMLResponse(shell.board_page(board, in_order, chosen, dict(request.query_params), shown.left_out.get(name, "")))

    @app.get("/freshness")
    def freshness_page() -> HTMLResponse:
        # Airflow embeds the page in a frame.
        frame = _HEADERS["Content-Security-Policy"].replace("frame-ancestors 'none'", f"frame-ancestors {settings.airflow_page}")
        return HTMLResponse(shell.freshness_page(in_order, shown.left_out.values()), headers={"Content-Security-Policy": frame})

    @app.get("/api/freshness")
    def fresh() -> dict[str, Any]:
        return _answered(answers.freshness)

    @app.get("/metrics")
    def figures() -> Response:
        return Response(metrics.exposition(_answered(answers.freshness)), headers={"Content-Type": metrics.CONTENT_TYPE})

    @app.get("/static/echarts.js")
    def charts() -> FileResponse:
        # A megabyte that changes only with an upgrade.
        return FileResponse(echarts, headers={"Cache-Control": "max-age=86400"})

    @app.get("/static/{name}")
    def static(name: str) -> FileResponse:
        if not re.fullmatch(r"[a-z]+\.(js|css|svg)", name) or not (_STATIC / name).is_file():
            raise HTTPException(404, f"there is no file {name!r}")
        return FileResponse(_STATIC / name)

    @app.get("/api/answers/{name}")
    def all_answers(name: str, request: Request) -> dict[str, Any]:
        board = _one(boards, name)
        values = _values(board, request)
        return _answered(lambda: answers.board([tile.question for tile in board.tiles], values))

    @app.get("/api/boards/{name}/{question}")
    def answer(name: str, question: str, request: Request) -> dict[str, Any]:
        board = _one(boards, name)
        requested = _one({tile.question.name: tile.question for tile in board.tiles}, question)
        values = _values(board, request)
        return _answered(lambda: answers.answer(requested, values))

    return app


def _values(board: files.Board, request: Request) -> dict[str, str]:
    """The filters that are set; a filter that the board does not have is refused."""
    values = dict(request.query_params)
    unknown = sorted(set(values) - set(board.filters))
    if unknown:
        raise HTTPException(422, f"unknown filter {unknown[0]!r}; this board has {', '.join(board.filters) or 'no filters'}")
    return values


def _one(known: Mapping[str, Any], name: str) -> Any:
    if name not in known:
        raise HTTPException(404, f"there is no {name!r}: there are {', '.join(known)}")
    return known[name]


def _answered(query: Any) -> Any:
    try:
        return query()
    except files.BoardError as error:
        raise HTTPException(422, str(error)) from None
    except EbapError as error:
        raise HTTPException(503, str(error)) from None
