"""The bucket of a lake on gs:, created if it is missing."""

from infra.services.step import OneShot, python

STEPS = (
    OneShot(
        name="bucket",
        doc="The lake's bucket, if the lake is on gs:.",
        command=python("-m", "lakehouse.delta.objects"),
        is_wanted=lambda settings: settings.is_on_gcs,
    ),
)
