"""The bucket of a lake on gs:, created where it is missing."""

from infra.services.step import OneShot, python

STEPS = (
    OneShot(
        name="bucket",
        doc="The lake's bucket, where it is on gs:.",
        command=python("-m", "lakehouse.delta.objects"),
        is_wanted=lambda settings: settings.is_on_gcs,
    ),
)
