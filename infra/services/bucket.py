"""The bucket of a lake on gs:, which an emulator does not have yet."""

from infra.services.step import OneShot, python

STEPS = (
    OneShot(
        name="bucket",
        doc="The lake's bucket, where it is on gs:.",
        command=python("-m", "lakehouse.delta.objects"),
        is_wanted=lambda settings: settings.is_on_gcs,
    ),
)
