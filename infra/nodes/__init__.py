"""Machines in a cloud: list, schedule and cost. Plain Python, without Airflow or Google's client.

The scripts `start` and `stop` in this folder are for manual use; DAGs `vm_start` and `vm_stop` follow the schedule.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from lakehouse.errors import SettingsError
from lakehouse.settings import Settings

# In start order: land and the Spark server read from the source's machine.
ROLES = ("source", "spark")

_SHAPE = "write name:role or name:role@address, separated by commas, such as node1:source,node2:spark"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A machine: its name in the zone, its role, and its address."""

    name: str
    role: str
    address: str


def in_start_order(settings: Settings) -> list[Node]:
    """The machines of EBAP_NODES in dependency order; SettingsError names an invalid entry."""
    nodes = [_node(text.strip()) for text in settings.nodes.split(",") if text.strip()]
    names = [node.name for node in nodes]
    if not nodes or len(set(names)) < len(names):
        raise SettingsError(f"EBAP_NODES is {settings.nodes!r}", f"name each machine once; {_SHAPE}")
    if settings.gcp_project and socket.gethostname() in names:
        raise SettingsError(
            f"EBAP_NODES names {socket.gethostname()}, which is this machine: it cannot start itself again",
            "take it out; an instance schedule of the cloud switches it",
        )
    return sorted(nodes, key=lambda node: ROLES.index(node.role))


def in_stop_order(settings: Settings) -> list[Node]:
    """The machines in reverse order: land stops before the services it reads from."""
    return in_start_order(settings)[::-1]


def _node(text: str) -> Node:
    name, _, rest = text.partition(":")
    role, _, address = rest.partition("@")
    if not name or role not in ROLES:
        raise SettingsError(f"EBAP_NODES has {text!r}", f"{_SHAPE}; a role is one of {', '.join(ROLES)}")
    return Node(name=name, role=role, address=address or name)
