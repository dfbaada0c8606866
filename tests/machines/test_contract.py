"""The fake against Google's discovery document of the API, which the client ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="Airflow has an environment of its own; `make test` runs these tests there")

pytestmark = pytest.mark.timeout(120, method="thread")  # Airflow's own timeouts use the signal


def test_the_fake_follows_the_published_contract(on):
    """Every response body has only fields and states of the discovery document."""
    from googleapiclient import discovery_cache

    on.cloud.fail("start", "node1", "QUOTA_EXCEEDED", "no")
    on.run("vm_stop")
    on.run("vm_start")
    schemas = _published(discovery_cache)
    assert {body["kind"] for _, body in on.cloud.bodies} == {"compute#instance", "compute#operation"}
    for _, body in on.cloud.bodies:
        _check(body, schemas[body["kind"].partition("#")[2].capitalize()], schemas)


def _published(discovery_cache):
    document = json.loads((Path(discovery_cache.__file__).parent / "documents" / "compute.v1.json").read_text())
    methods = document["resources"]["instances"]["methods"]
    assert methods["start"]["path"] == "projects/{project}/zones/{zone}/instances/{instance}/start"
    assert methods["stop"]["response"] == {"$ref": "Operation"}
    return document["schemas"]


def _check(value, schema, schemas):
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    if isinstance(value, dict):
        for name, part in value.items():
            assert name in schema["properties"], name
            _check(part, schema["properties"][name], schemas)
    elif isinstance(value, list):
        for part in value:
            _check(part, schema["items"], schemas)
    elif "enum" in schema:
        assert value in schema["enum"]
