"""The graph of imports within lakehouse: counted, and without a cycle."""

from __future__ import annotations

from infra.docs import imports


def test_no_modules_and_no_folders_import_each_other() -> None:
    modules = imports.of_modules()
    assert len(modules) > 150
    assert imports.cycle(modules) == []
    assert imports.cycle(imports.of_folders(modules)) == []


def test_a_cycle_is_named_wherever_the_import_stands(tmp_path) -> None:
    folder = tmp_path / "spark_apps" / "lakehouse"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "one.py").write_text("from lakehouse import two\nfrom os import path\n")
    (folder / "two.py").write_text("def late():\n    from lakehouse.one import path\n")
    (folder / "three.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lakehouse.two\n")
    modules = imports.of_modules(tmp_path)
    assert modules["lakehouse.three"] == set()
    assert sorted(set(imports.cycle(modules))) == ["lakehouse.one", "lakehouse.two"]
    assert imports.report(tmp_path).splitlines()[0].startswith("4 modules, 2 imports between them, lakehouse.")
