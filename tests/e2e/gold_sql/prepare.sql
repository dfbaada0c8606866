-- What was committed of each key, from the audit log: one row per key and transaction that touched it, with the state it left.
-- committed_at is NULL (before everything) for rows that stood when the log began. Run before each question; goes with the session.
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';
DROP TABLE IF EXISTS pg_temp.states;
CREATE TEMP TABLE states AS
SELECT table_name, key_id, seq, coalesce(committed_at, '-infinity') AS committed_at, op = 'd' AS is_delete, row AS image
FROM (
    SELECT *, (key ->> (left(table_name, -1) || '_id'))::bigint AS key_id,
        row_number() OVER (PARTITION BY table_name, key, txid ORDER BY seq DESC) AS newest
    FROM audit.commits
    WHERE table_name IN ('users', 'products', 'orders') AND op <> 't'
) AS each_change
WHERE newest = 1;
CREATE INDEX ON states (table_name, key_id, seq);
ANALYZE states;

-- The state of a key at an instant: the last one that stood at or before it (a delete leaves the one before), else the first ever.
-- is_assumed: that state did not hold at the instant.
CREATE OR REPLACE FUNCTION pg_temp.as_of(name text, id bigint, instant timestamptz, OUT image jsonb, OUT is_assumed boolean)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
            (SELECT s.image FROM states AS s
             WHERE s.table_name = name AND s.key_id = id AND NOT s.is_delete AND s.committed_at <= instant ORDER BY s.seq DESC LIMIT 1),
            (SELECT s.image FROM states AS s WHERE s.table_name = name AND s.key_id = id AND NOT s.is_delete ORDER BY s.seq LIMIT 1)),
        id IS NOT NULL AND coalesce(
            (SELECT s.is_delete FROM states AS s
             WHERE s.table_name = name AND s.key_id = id AND s.committed_at <= instant ORDER BY s.seq DESC LIMIT 1), true)
$$;
