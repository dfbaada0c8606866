"""`windows`: the shop's activity by minute and region, final."""

from lakehouse.contract import Column, Layer, Table

TABLE = Table(
    name="windows",
    doc="Active visitors and health of each region by minute, once no event can change them any more.",
    grain="one row per minute and region, and one of all regions",
    key=("window_start", "region"),
    layer=Layer.LIVE,
    inputs=("events", "telemetry"),
    partition_by=("window_start",),
    owner="web-analytics",
    max_age_s=1200,
    rules=(
        "A window is final once everything is read that Kafka received up to ten minutes after its end; late events, and those "
        "loaded from files, are not in it.",
    ),
    columns=(
        Column(name="window_start", type="TIMESTAMP", doc="Start of the minute."),
        Column(name="region", type="STRING", doc="Sales region, or `all`."),
        Column(name="events", type="BIGINT", doc="Events in the minute that were not late, repeats not counted."),
        Column(name="active_visitors", type="BIGINT", doc="Distinct visitors with such an event."),
        Column(name="requests", type="BIGINT", doc="Requests of all services."),
        Column(name="errors", type="BIGINT", doc="Requests that failed."),
        Column(
            name="p95_ms", type="DOUBLE", doc="95th percentile of the latency in ms, interpolated within its bucket; NULL without requests."
        ),
    ),
)
