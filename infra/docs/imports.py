"""How the modules of `lakehouse` import each other, counted: `python -m infra.docs.imports [PROJECT]`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from lakehouse.settings import PROJECT

Graph = Mapping[str, Set[str]]


def of_modules(project: Path = PROJECT) -> dict[str, set[str]]:
    """For each module of lakehouse the others that it imports, at whatever place in it; imports for types alone do not count."""
    root = project / "spark_apps"
    # What starts the command line stands above all folders.
    named = {_name(path, root): path for path in (root / "lakehouse").rglob("*.py") if path.name != "__main__.py"}
    found: dict[str, set[str]] = {}
    for name, path in named.items():
        imported = {_known(target, named) for target in _targets(ast.parse(path.read_text()))}
        found[name] = {target for target in imported if target and target != name}
    return found


def of_folders(modules: Graph) -> dict[str, set[str]]:
    """The same between the folders of lakehouse; modules beside them are one folder."""
    found: dict[str, set[str]] = {_folder(name): set() for name in modules}
    for name, targets in modules.items():
        found[_folder(name)] |= {_folder(target) for target in targets} - {_folder(name)}
    return found


def cycle(graph: Graph) -> list[str]:
    """A cycle of imports, its first element repeated at the end; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))  # each of its elements is imported by the next
    return []


def report(project: Path = PROJECT) -> str:
    """The counts as two lines."""
    lines = []
    modules = of_modules(project)
    for what, graph in (("modules", modules), ("folders", of_folders(modules))):
        found = cycle(graph)
        shown = " -> ".join(found) if found else "no cycle"
        lines.append(f"{len(graph)} {what}, {sum(map(len, graph.values()))} imports between them, {shown}")
    return "\n".join(lines)


def _targets(tree: ast.Module) -> set[str]:
    for_types = {id(inner) for node in ast.walk(tree) if _is_for_types(node) for inner in ast.walk(node)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _known(target: str, modules: Mapping[str, Path]) -> str | None:
    """The module that an imported name is or is of; None outside lakehouse."""
    if target in modules:
        return target
    parent = target.rpartition(".")[0]
    return parent if parent in modules else None


def _name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _folder(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 2 else "lakehouse"


if __name__ == "__main__":
    print(report(Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT))
