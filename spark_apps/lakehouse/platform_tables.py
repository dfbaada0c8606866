"""The platform's own tables: bronze as received, silver's stored changes, quarantine, and the progress of each job.

They are declared like the source's tables, so that the same code creates, comments and checks them.
"""

from __future__ import annotations

from lakehouse.contract import KAFKA_HEADERS, Column, Layer, Table

HEARTBEAT, SIGNAL = "heartbeat", "signal"
TOPIC_PREFIX = "ebap.cdc."
EPOCH_HEADER = "ebap.epoch"
_OWNER = "platform"

CHANGES = Table(
    name="changes",
    doc="The change log as received: every record of every captured topic, readable or not. Only data of forgotten people is removed.",
    grain="one row per Kafka record and landing; a lost checkpoint lands records again",
    key=("topic", "partition", "offset"),
    layer=Layer.BRONZE,
    is_platform=True,
    partition_by=("source_table", "_landed_on"),
    owner=_OWNER,
    max_age_s=60,
    columns=(
        Column(name="source_table", type="STRING", doc="Table the topic carries, from the topic's name and never from the payload."),
        Column(name="_landed_on", type="DATE", doc="UTC day of _landed_at."),
        Column(name="_landed_at", type="TIMESTAMP", doc="When the batch that landed the record began."),
        Column(name="topic", type="STRING", doc="Kafka topic."),
        Column(name="partition", type="INT", doc="Kafka partition."),
        Column(name="offset", type="BIGINT", doc="Kafka offset within the partition."),
        Column(name="kafka_at", type="TIMESTAMP", doc="Kafka's timestamp of the record, in milliseconds."),
        Column(name="key", type="BINARY", doc="Record key as received.", pii=True),
        Column(name="value", type="BINARY", doc="Record value as received; NULL for a tombstone.", pii=True),
        Column(name="headers", type=KAFKA_HEADERS, doc="Record headers as received."),
        Column(name="epoch", type="INT", doc="Number of the source's timeline, from the header ebap.epoch."),
        Column(name="op", type="STRING", doc="Debezium operation: c, u, d, r, t or m; NULL where unreadable."),
        Column(
            name="lsn",
            type="BIGINT",
            doc="Position in the source's WAL; of a read without one, the last commit sent before it; NULL where unreadable.",
        ),
        Column(name="sequence", type="STRING", doc="Debezium's source.sequence: a JSON array of last commit LSN and LSN."),
        Column(name="txid", type="BIGINT", doc="Transaction of the change at the source."),
        Column(name="commit_at", type="TIMESTAMP", doc="Commit time of that transaction, in microseconds."),
    ),
)

REASONS = (
    *("empty", "not_utf8", "not_json", "no_op", "wrong_table", "null_key", "no_position", "bad_value", "refused"),
    "conflicting_duplicate",
)

QUARANTINE = Table(
    name="quarantine",
    doc="Records that silver could not take, with their bytes and the reason. Nothing is dropped.",
    grain="one row per refused record and reason",
    key=("source_table", "topic", "partition", "offset", "reason"),
    is_platform=True,
    partition_by=("source_table",),
    owner=_OWNER,
    max_age_s=300,
    columns=(
        Column(name="source_table", type="STRING", doc="Table whose topic carried the record."),
        Column(name="reason", type="STRING", doc=f"{', '.join(REASONS[:-1])} or {REASONS[-1]}."),
        Column(name="detail", type="STRING", doc="Details of the fault: the column, its text, its declared type.", pii=True),
        Column(name="topic", type="STRING", doc="Kafka topic."),
        Column(name="partition", type="INT", doc="Kafka partition."),
        Column(name="offset", type="BIGINT", doc="Kafka offset."),
        Column(name="key", type="BINARY", doc="Record key as received.", pii=True),
        Column(name="value", type="BINARY", doc="Record value as received.", pii=True),
        Column(name="sha256", type="STRING", doc="SHA-256 of the value, in hex."),
        Column(name="first_seen_at", type="TIMESTAMP", doc="When refine first read the record."),
        Column(name="replayed_at", type="TIMESTAMP", doc="When a replay moved the record into its table; NULL while it waits."),
    ),
)

PROGRESS = Table(
    name="progress",
    doc="How far each source table is refined.",
    grain="one row per source table",
    key=("source_table",),
    is_platform=True,
    owner=_OWNER,
    max_age_s=300,
    columns=(
        Column(name="source_table", type="STRING", doc="Source table."),
        Column(name="bronze_version", type="BIGINT", doc="Version of bronze.changes consumed, inclusive."),
        Column(name="complete_to", type="TIMESTAMP", doc="Source commit time up to which the table is complete."),
        Column(name="refined_at", type="TIMESTAMP", doc="When that run ended."),
        Column(name="records", type="BIGINT", doc="Records of the table in that run."),
        Column(name="quarantined", type="BIGINT", doc="Records that run sent to quarantine."),
        Column(
            name="truncates", type="STRING", doc="Truncates of the source table so far, as a JSON array; they close every key's version."
        ),
        Column(name="error", type="STRING", doc="Why the table is stopped; NULL while it is not."),
    ),
)

CONTROLS = Table(
    name="controls",
    doc="Pauses of source tables: since when, by whom and why.",
    grain="one row per source table that was ever paused",
    key=("source_table",),
    is_platform=True,
    owner=_OWNER,
    max_age_s=300,
    columns=(
        Column(name="source_table", type="STRING", doc="Source table."),
        Column(name="paused_at", type="TIMESTAMP", doc="When it was paused; NULL while it is refined."),
        Column(name="paused_by", type="STRING", doc="Who paused it; NULL while it is refined."),
        Column(name="reason", type="STRING", doc="Reason, if one was given."),
    ),
)

GOLD_PROGRESS = Table(
    name="progress",
    doc="How far each gold table is aggregated.",
    grain="one row per gold table",
    key=("table_name",),
    layer=Layer.GOLD,
    is_platform=True,
    owner=_OWNER,
    max_age_s=600,
    columns=(
        Column(name="table_name", type="STRING", doc="Gold table."),
        Column(name="marks", type="STRING", doc="What was consumed of each input, as a JSON object."),
        Column(name="complete_to", type="TIMESTAMP", doc="Source commit time up to which the table is complete."),
        Column(name="aggregated_at", type="TIMESTAMP", doc="When that run ended."),
    ),
)

COMPACTIONS = Table(
    name="compactions",
    doc="The last compaction of each stored table: files before and after.",
    grain="one row per stored table",
    key=("table_name",),
    is_platform=True,
    partition_by=("table_name",),
    owner=_OWNER,
    max_age_s=7200,
    columns=(
        Column(name="table_name", type="STRING", doc="Full name of the table."),
        Column(name="compacted_at", type="TIMESTAMP", doc="When that compaction ended."),
        Column(name="took_s", type="DOUBLE", doc="How long it took, in seconds."),
        Column(name="files_before", type="BIGINT", doc="Files that the table consisted of before."),
        Column(name="bytes_before", type="BIGINT", doc="Their size."),
        Column(name="small_before", type="BIGINT", doc="How many of them were small enough to be compacted."),
        Column(name="files_after", type="BIGINT", doc="Files that the table consists of now."),
        Column(name="bytes_after", type="BIGINT", doc="Their size."),
        Column(name="small_after", type="BIGINT", doc="How many of them are small."),
        Column(name="vacuumed_at", type="TIMESTAMP", doc="When unneeded files were last deleted (VACUUM)."),
        Column(name="waiting_since", type="TIMESTAMP", doc="Since when a lagging reader has prevented the deletion of files, or NULL."),
        Column(name="first_landed_on", type="DATE", doc="First day that bronze holds, where earlier ones were removed by age; else NULL."),
    ),
)

ERASURES = Table(
    name="erasures",
    doc="Forgotten keys: data of these keys is removed from records whenever they arrive.",
    grain="one row per forgotten key: a person's, or that of a row which named one",
    key=("source_table", "key"),
    is_platform=True,
    partition_by=("source_table",),
    owner=_OWNER,
    max_age_s=3600,
    columns=(
        Column(name="source_table", type="STRING", doc="Source table of the key."),
        Column(name="key", type="STRING", doc="The key as a JSON object; all that is kept of it."),
        Column(name="forgotten_at", type="TIMESTAMP", doc="When the key was entered here."),
        Column(name="erased_at", type="TIMESTAMP", doc="When data of the key was last removed from a table; files are deleted later."),
    ),
)

RECONCILIATIONS = Table(
    name="reconciliations",
    doc="The last comparison of each source table with the source itself.",
    grain="one row per source table",
    key=("source_table",),
    is_platform=True,
    partition_by=("source_table",),
    owner=_OWNER,
    max_age_s=2 * 3600,
    columns=(
        Column(name="source_table", type="STRING", doc="Source table."),
        Column(
            name="verified_through",
            type="TIMESTAMP",
            doc="Moment, by the source's clock, as of which the table was last found equal to the source, blocked keys left out; or NULL.",
        ),
        Column(name="checked_at", type="TIMESTAMP", doc="Moment, by the source's clock, as of which it was last compared."),
        Column(name="rows", type="BIGINT", doc="Rows that the source had then."),
        Column(name="missing", type="BIGINT", doc="Rows of the source that silver did not have."),
        Column(name="ghosts", type="BIGINT", doc="Rows of silver that the source did not have."),
        Column(name="different", type="BIGINT", doc="Rows that both had, with different values."),
        Column(name="blocked", type="BIGINT", doc="Rows that differed because a newer change waits in quarantine."),
        Column(name="took_s", type="DOUBLE", doc="How long the comparison took, in seconds, without the wait for the pipeline."),
        Column(name="detail", type="STRING", doc="The first keys of each kind, as a JSON object of lists."),
    ),
)

SCHEMA_CHANGES = Table(
    name="schema_changes",
    doc="Changes of captured tables in the source's catalog, and the state of each change.",
    grain="one row per detected change, and one per table for its first check",
    key=("source_table", "seen_at", "column", "what"),
    is_platform=True,
    partition_by=("source_table",),
    owner=_OWNER,
    max_age_s=300,
    columns=(
        Column(name="source_table", type="STRING", doc="Table of the source."),
        Column(name="column", type="STRING", doc="Column, or NULL for a change of the whole table."),
        Column(
            name="what",
            type="STRING",
            doc="first seen, added, dropped, renamed, widened, narrowed, retyped, enum value added, nullability changed or key changed; "
            "of a whole table also replaced by another, cannot be captured, can be captured, no longer published, published, "
            "published anew, partition attached, detached and truncated; left out and capture stopped are reactions of the capture. "
            "A rename is two rows: the old name as a drop, the new one as an add.",
        ),
        Column(name="type_before", type="STRING", doc="Type in the source before, or key columns; NULL for what is new."),
        Column(name="type_after", type="STRING", doc="The same after; NULL for what was dropped."),
        Column(name="seen_at", type="TIMESTAMP", doc="When it was first detected."),
        Column(
            name="state",
            type="STRING",
            doc="applied (silver follows), drift (only in bronze until it is declared), gap (the table continues without the named data), "
            "waiting (the table is stopped) or accepted.",
        ),
        Column(name="accepted_at", type="TIMESTAMP", doc="When a waiting change or a gap was accepted; else NULL."),
        Column(name="shape", type="STRING", doc="The whole table in the source's catalog at that time, as a JSON object."),
        Column(
            name="reason",
            type="STRING",
            doc="Why the column is not captured or capture has stopped for the table, or what is missing; else NULL.",
        ),
    ),
)

# Platform tables that are stored in the lake.
STORED = (CHANGES, QUARANTINE, SCHEMA_CHANGES, COMPACTIONS, ERASURES, RECONCILIATIONS)
# Views over the state of tables in the platform's Postgres (see lake.state), with their SELECT.
STATE = "silver.table_state"
STATE_VIEWS = {
    PROGRESS: "SELECT substring(table_name, 8) AS source_table, bronze_version, complete_to, updated_at AS refined_at, records, "
    f"quarantined, CAST(truncates AS STRING) AS truncates, error FROM {STATE} WHERE table_name LIKE 'silver.%'",
    CONTROLS: "SELECT substring(table_name, 8) AS source_table, paused_at, paused_by, pause_reason AS reason "
    f"FROM {STATE} WHERE table_name LIKE 'silver.%'",
    GOLD_PROGRESS: "SELECT substring(table_name, 6) AS table_name, CAST(inputs AS STRING) AS marks, complete_to, "
    f"updated_at AS aggregated_at FROM {STATE} WHERE table_name LIKE 'gold.%'",
}
# All of them, in the order of the data dictionary.
PLATFORM = (CHANGES, QUARANTINE, PROGRESS, CONTROLS, SCHEMA_CHANGES, COMPACTIONS, ERASURES, RECONCILIATIONS, GOLD_PROGRESS)

# Columns of stored changes in addition to the source table's own.
STORED_COLUMNS = (
    Column(name="_kind", type="STRING", doc="read, upsert, delete or truncate."),
    Column(name="_epoch", type="INT", doc="Number of the source's timeline."),
    Column(name="_lsn", type="BIGINT", doc="Position of the change in the source's WAL."),
    Column(name="_txid", type="BIGINT", doc="Transaction at the source; NULL for a read."),
    Column(name="_last_commit_lsn", type="BIGINT", doc="Last commit before the change's own transaction."),
    Column(name="_offset", type="BIGINT", doc="Smallest Kafka offset seen of the change."),
    Column(name="_commit_at", type="TIMESTAMP", doc="Commit time as received."),
    Column(name="_effective_at", type="TIMESTAMP", doc="Commit time, adjusted so that it never decreases along a key."),
    Column(name="_content_hash", type="STRING", doc="Hash of the declared columns as received."),
    Column(name="_unchanged", type="ARRAY<STRING>", doc="Columns that the change left unchanged and did not contain."),
    Column(name="_linked_key", type="STRING", doc="Other key of a primary-key change, as JSON: the old of an upsert, the new of a delete."),
    Column(name="_previous_key", type="STRING", doc="Last visible key before a primary-key change made this row, as JSON; else NULL."),
    Column(name="_unresolved", type="ARRAY<STRING>", doc="Columns whose value is not known yet."),
    Column(name="_flags", type="ARRAY<STRING>", doc="Expectations of severity flag that the row violates."),
    Column(name="_is_blocked", type="BOOLEAN", doc="Whether a newer change of the key waits in quarantine."),
    Column(name="_is_visible", type="BOOLEAN", doc="Whether the row is a version of the history."),
    Column(name="_valid_from", type="TIMESTAMP", doc="Start of the version, inclusive, in source commit time."),
    Column(name="_valid_to", type="TIMESTAMP", doc="End of the version, exclusive; NULL while open."),
    Column(name="_from_lsn", type="BIGINT", doc="Position that opened the version."),
    Column(name="_to_lsn", type="BIGINT", doc="Position that closed the version; NULL while open."),
    Column(name="_run", type="BIGINT", doc="Bronze version of the run that last changed the row's content or effective time."),
    Column(name="_last", type="BOOLEAN", doc="Whether this is the newest change of its key."),
)

HISTORY_COLUMNS = (
    "_valid_from",
    "_valid_to",
    "_is_current",
    "_from_lsn",
    "_to_lsn",
    "_epoch",
    "_previous_key",
    "_unresolved",
    "_is_blocked",
    "_flags",
)

STORED_SUFFIX = "_changes"


def writer_of(table: Table) -> str:
    """Delta application id of the commits to a source table's stored changes."""
    return f"ebap.refine.{table.name}"


def stored(table: Table) -> Table:
    """The stored changes of a source table: its columns and the platform's, one row per change."""
    return Table(
        name=f"{table.name}{STORED_SUFFIX}",
        doc=f"Stored form of {table.name}: every change with its resolved values. Read silver.{table.name} instead.",
        grain="one row per change, hidden ones included",
        key=(*table.key, "_epoch", "_lsn", "_kind"),
        owner=table.owner,
        max_age_s=table.max_age_s,
        retention_h=table.retention_h,
        changes_of=table.name,
        partition_by=("_last",),
        columns=(*table.columns, *STORED_COLUMNS),
    )


def topic(name: str) -> str:
    """The Kafka topic that carries the changes of the source table `name`."""
    return f"{TOPIC_PREFIX}{name}"
