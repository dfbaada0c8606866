"""`telemetry`: requests of the shop's services by second."""

from lakehouse.contract import Column, Layer, Table
from lakehouse.definitions import REGIONS

# Upper bounds of the latency buckets in milliseconds; a request is counted in one bucket. The last bucket has no bound.
BUCKETS_MS = (10, 25, 50, 100, 250, 500, 1000)

TABLE = Table(
    name="telemetry",
    doc="Requests, errors and latencies of the shop's services, by region and second.",
    grain="one row per service, region and second; a repeated record is stored again",
    key=("service", "region", "measured_at", "kafka_partition", "kafka_offset"),
    layer=Layer.LIVE,
    topic="ebap.metrics.telemetry",
    record_key="region",
    partition_by=("measured_at",),
    owner="web-platform",
    max_age_s=300,
    columns=(
        Column(name="service", type="STRING", doc="The service."),
        Column(name="region", type="STRING", choices=REGIONS, doc="Sales region that the requests came from."),
        Column(name="measured_at", type="TIMESTAMP", doc="Start of the second; never later than Kafka received it."),
        Column(name="requests", type="BIGINT", is_count=True, doc="Requests in that second."),
        Column(name="errors", type="BIGINT", is_count=True, doc="Those that failed."),
        *(
            Column(name=f"le_{bound}_ms", type="BIGINT", is_count=True, doc=f"Requests answered within {bound} ms, and no faster bucket.")
            for bound in BUCKETS_MS
        ),
        Column(name="over_1000_ms", type="BIGINT", is_count=True, doc="Requests that took longer."),
        Column(name="is_late", type="BOOLEAN", doc="Whether its window was final before it came.", is_added=True),
        Column(name="is_clamped", type="BOOLEAN", doc="Whether its second was after Kafka's time, which replaced it.", is_added=True),
        Column(name="kafka_at", type="TIMESTAMP", doc="When Kafka received it.", is_added=True),
        Column(name="kafka_partition", type="INT", doc="Kafka partition.", is_added=True),
        Column(name="kafka_offset", type="BIGINT", doc="Kafka offset.", is_added=True),
    ),
)
