"""The live half: events and telemetry into Redis by the second and into Iceberg by the minute."""
