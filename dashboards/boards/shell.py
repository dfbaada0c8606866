"""HTML of the pages: a shell with every tile in place before its figures are loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from html import escape

from dashboards.metabase.files import Board, Tile

_FILTERS = {"from": "From", "to": "To", "category": "Category", "region": "Region"}
_HEAD = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>{title} · EBAP</title>
  <link rel="icon" href="/static/icon.svg">
  <link rel="stylesheet" href="/static/style.css">
  {scripts}
</head>
<body>
  <a class="skip" href="#main">Skip to the figures</a>
  <header class="bar">
    <a class="brand" href="/"{target}><img src="/static/icon.svg" alt="" width="24" height="24">EBAP</a>
    <nav aria-label="Pages">{nav}</nav>
  </header>
  <main id="main">
    <h1>{heading}</h1>
{body}
  </main>
  <footer class="foot"><p id="age" class="age"></p><p id="pulse"></p></footer>
  <noscript><p class="failed">This page requires JavaScript.</p></noscript>
</body>
</html>
"""
_BOARD_SCRIPTS = """<script src="/static/board.js" type="module"></script>
  <script src="/static/echarts.js" id="charts-library" async></script>"""
_FRESHNESS = """    <p id="about" class="about" role="status">The age of each table, and its maximum.</p>
    <div id="causes" class="causes"></div>
    <section class="panel" aria-labelledby="tables-title">
      <h2 id="tables-title">Tables</h2>
      <div class="scroll" tabindex="0" role="group" aria-label="Tables"><table id="tables"><tbody>{rows}</tbody></table></div>
    </section>
    <section class="panel" aria-labelledby="waiting-title">
      <h2 id="waiting-title">Quarantine</h2>
      <p class="why">Records that could not be refined into silver. After the cause is fixed, run the command to replay them.</p>
      <div class="scroll" tabindex="0" role="group" aria-label="Quarantine"><table id="waiting"></table></div>
    </section>
    <section class="panel" aria-labelledby="delays-title">
      <h2 id="delays-title">From commit to board</h2>
      <dl id="delays" class="delays"></dl>
    </section>"""


def board_page(board: Board, boards: Iterable[Board], choices: dict[str, list[str]], values: dict[str, str], left_out: str = "") -> str:
    """A board's page: its tiles as skeletons, its filters with their choices and current values, and what it leaves out."""
    tiles = "\n".join(_tile(tile) for tile in sorted(board.tiles, key=lambda tile: (tile.row, tile.column)))
    body = f"""    <p class="about">{escape(board.about)}</p>
{_form(board.filters, choices, values)}    <div id="tiles" class="tiles" data-board="{board.name}" data-refresh="{board.refresh_s}">
{tiles}
    </div>{_notes([left_out] if left_out else [])}"""
    nav = _nav(boards, board.name)
    return _HEAD.format(title=escape(board.title), heading=escape(board.title), scripts=_BOARD_SCRIPTS, nav=nav, body=body, target="")


def freshness_page(boards: Iterable[Board], left_out: Iterable[str] = ()) -> str:
    """The freshness page, with what the boards leave out; its links open outside the frame in which Airflow embeds it."""
    script = '<script src="/static/freshness.js" type="module"></script>'
    nav = _nav(boards, "freshness", ' target="_top"')
    rows = '<tr><td><span class="skeleton line"></span></td></tr>' * 8
    body = _FRESHNESS.format(rows=rows) + _notes(left_out)
    return _HEAD.format(title="Freshness", heading="Freshness", scripts=script, nav=nav, body=body, target=' target="_top"')


def _notes(lines: Iterable[str]) -> str:
    return "".join(f'\n    <p class="note">{escape(line)}</p>' for line in lines)


def _nav(boards: Iterable[Board], current: str, target: str = "") -> str:
    links = [(board.name, f"/boards/{board.name}", board.title) for board in boards] + [("freshness", "/freshness", "Freshness")]
    return "".join(
        f'<a href="{path}"{target}{" aria-current=page" if name == current else ""}>{escape(title)}</a>' for name, path, title in links
    )


def _form(names: Collection[str], choices: dict[str, list[str]], values: dict[str, str]) -> str:
    if not names:
        return ""
    fields = "".join(f"<label>{_FILTERS[name]}{_field(name, choices.get(name), values.get(name, ''))}</label>" for name in names)
    return f'    <form id="filters" class="filters" aria-label="Filters">{fields}<button type="reset" hidden>Reset</button></form>\n'


def _field(name: str, choices: list[str] | None, value: str) -> str:
    if choices is None:
        return f'<input type="date" name="{name}" value="{escape(value)}">'
    listed = sorted({*choices, *([value] if value else [])})
    options = "".join(f"<option{' selected' if each == value else ''}>{escape(each)}</option>" for each in listed)
    return f'<select name="{name}"><option value="">All</option>{options}</select>'


def _tile(tile: Tile) -> str:
    question = tile.question
    place = f"--column:{tile.column + 1};--row:{tile.row + 1};--width:{tile.width};--height:{tile.height}"
    return f"""      <section class="tile is-{question.kind}" id="{question.name}" style="{place}"
        aria-labelledby="{question.name}-title" aria-busy="true" data-chart="{escape(question.chart)}"
        data-filters="{" ".join(question.filters)}" data-empty="{escape(question.empty)}">
        <h2 id="{question.name}-title">{escape(question.title)}</h2>
        <p class="why">{escape(_why(question.audience))}</p>
        <div class="body"><div class="skeleton" aria-hidden="true"></div></div>
        <p class="note" hidden></p>
      </section>"""


def _why(audience: str) -> str:
    """The question's purpose without its audience, which is stated once per board."""
    text = audience.partition(": ")[2] or audience
    return text[:1].upper() + text[1:]
