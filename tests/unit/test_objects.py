"""The lake's files without Spark: on a disk, and in a bucket of a storage emulator that is a real process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.install import doctor
from lakehouse.delta import objects
from lakehouse.settings import Settings
from tests.gcs import emulator
from tests.refusals import refused

Put = Callable[[str, str], None]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with emulator() as made:
        yield made


@pytest.fixture(params=["disk", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Settings, Put]:
    """Settings of an empty lake, and what writes a text into it."""
    on_disk = Settings(home=str(tmp_path))
    if request.param == "disk":

        def write(name: str, text: str) -> None:
            path = tmp_path / "lake" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

        return on_disk, write
    in_bucket = replace(on_disk, lake="gs://test-lake/shop", gcs_endpoint=request.getfixturevalue("address"))
    objects.ensure_bucket(in_bucket)
    return in_bucket, lambda name, text: objects.bucket(in_bucket).blob(f"shop/{name}").upload_from_string(text)


def test_names_and_texts(lake: tuple[Settings, Put]) -> None:
    settings, put = lake
    folder = f"{settings.lake_root}/_checkpoints/land/commits"
    assert objects.names(settings, folder) == []
    put("_checkpoints/land/commits/0", "v1\n{}")
    put("_checkpoints/land/commits/1", "v1\n{}")
    put("_checkpoints/land/commits/deeper/2", "no file of this folder")
    assert [name for name in objects.names(settings, folder) if name.isdigit()] == ["0", "1"]
    assert objects.text(settings, f"{folder}/1") == "v1\n{}"
    with pytest.raises(FileNotFoundError):
        objects.text(settings, f"{folder}/7")


def test_bytes_are_counted_by_table(lake: tuple[Settings, Put]) -> None:
    settings, put = lake
    put("bronze/changes/source_table=users/a.parquet", "12345")
    put("bronze/changes/_delta_log/0.json", "123")
    put("gold/daily_sales/day=2026-01-01/b.parquet", "1")
    put("_checkpoints/land/offsets/0", "not a table")
    assert objects.bytes_by_table(settings) == {"bronze.changes": 8, "gold.daily_sales": 1}


def test_a_bucket_is_made_once(address: str) -> None:
    settings = Settings(lake="gs://made-once/x", gcs_endpoint=address)
    assert doctor._bucket(settings)[0].text == "the bucket of gs://made-once/x is created at the first start"
    assert [objects.ensure_bucket(settings) for _ in range(2)] == [True, False]
    assert doctor._bucket(settings)[0].text == "the bucket of gs://made-once/x exists"


def test_without_a_project_nobody_guesses_where_to_make_it(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(lake="gs://nobody-made-it/x", gcs_endpoint=address)
    client = objects.client(settings)
    monkeypatch.setattr(objects, "client", lambda _: client)
    with refused("nobody-made-it", cure="EBAP_GCP_PROJECT"):
        objects.ensure_bucket(replace(settings, gcs_endpoint=""))


def test_an_address_where_nobody_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_GIVE_UP_S", 1)
    settings = Settings(lake="gs://away/x", gcs_endpoint="http://127.0.0.1:9")
    with refused("gs://away/x"):
        objects.ensure_bucket(settings)
    (finding,) = doctor._bucket(settings)
    assert finding.is_error
