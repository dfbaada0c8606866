"""Additions to Airflow's pages: freshness in the menu, and a link from each task to its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import BaseOperatorLink

from lakehouse.contract import Layer
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

_PAGE = f"{Settings.from_environment().boards_page}/freshness"


class TableLink(BaseOperatorLink):
    """Link from a task to its table's row of the freshness page."""

    name = "Freshness"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """The page, at the row of the task's table; tasks of machines have no link."""
        if ti_key.dag_id.startswith("vm_"):
            return ""
        layer = Layer.SILVER if ti_key.dag_id == "silver" else Layer.GOLD
        return f"{_PAGE}#{layer.value}.{ti_key.task_id}"


class ControlRoom(AirflowPlugin):
    """The plugin; Airflow finds it by its base class."""

    name = "ebap"
    external_views = [{"name": "Freshness", "href": _PAGE, "destination": "nav", "url_route": "freshness"}]  # noqa: RUF012 (Airflow's form)
    global_operator_extra_links = [TableLink()]  # noqa: RUF012
