"""Some files of an archive: hard links whose first place is left out, and names that lead out of the folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from infra.install import jars, unpacking
from tests.refusals import refused

TRINO = "trino-server-1"


def _archive(folder: Path, *entries: tuple[str, str | None]) -> Path:
    """An archive of files: each a name, and the name that it is a hard link to, or None for a file of its own."""
    path = folder / "archive.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, linked in entries:
            member = tarfile.TarInfo(name)
            content = b"" if linked else name.encode()
            member.size = len(content)
            if linked:
                member.type, member.linkname = tarfile.LNKTYPE, linked
            archive.addfile(member, io.BytesIO(content))
    return path


def test_a_link_to_a_file_that_is_left_out_has_its_content(tmp_path: Path) -> None:
    first, second, third = (f"{TRINO}/plugin/{name}/a.jar" for name in ("delta-lake", "hudi", "iceberg"))
    path = _archive(tmp_path, (f"{TRINO}/lib/b.jar", None), (first, None), (second, first), (third, second))
    unpacking.unpack(path, tmp_path / "out", jars._is_used)
    found = {str(file.relative_to(tmp_path / "out")): file.read_text() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert found == {f"{TRINO}/lib/b.jar": f"{TRINO}/lib/b.jar", third: first}


def test_files_that_are_one_in_the_archive_are_one_on_the_disk(tmp_path: Path) -> None:
    path = _archive(tmp_path, ("a/x", None), ("b/x", "a/x"))
    unpacking.unpack(path, tmp_path / "out", jars._is_used)
    assert (tmp_path / "out/a/x").samefile(tmp_path / "out/b/x")


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with refused("leads out of its folder"):
        unpacking.unpack(_archive(tmp_path, (name, None)), tmp_path / "out", lambda name: True)
    assert not list(tmp_path.rglob("evil"))
