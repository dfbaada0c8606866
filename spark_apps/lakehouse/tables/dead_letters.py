"""`dead_letters`: records of the event topics that could not be read."""

from lakehouse.contract import Column, Layer, Table

REASONS = ("empty", "too_large", "not_utf8", "not_json", "wrong_shape", "unknown_type", "bad_value")

TABLE = Table(
    name="dead_letters",
    doc="Records of the event topics that could not be read, with their bytes and the reason. Nothing is dropped.",
    grain="one row per record",
    key=("topic", "kafka_partition", "kafka_offset"),
    layer=Layer.LIVE,
    inputs=("events", "telemetry"),
    partition_by=("kafka_at",),
    owner="web-platform",
    max_age_s=300,
    columns=(
        Column(name="topic", type="STRING", doc="Kafka topic."),
        Column(name="kafka_partition", type="INT", doc="Kafka partition."),
        Column(name="kafka_offset", type="BIGINT", doc="Kafka offset."),
        Column(name="kafka_at", type="TIMESTAMP", doc="When Kafka received it."),
        Column(name="reason", type="STRING", doc=f"{', '.join(REASONS[:-1])} or {REASONS[-1]}."),
        Column(name="detail", type="STRING", doc="The field at fault and its declared type; NULL where it is the whole record."),
        Column(name="key", type="BINARY", doc="Record key as received.", pii=True),
        Column(name="value", type="BINARY", doc="Record value as received.", pii=True),
    ),
)
