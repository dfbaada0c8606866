SELECT key_id, committed_at AT TIME ZONE 'UTC', image ->> 'region', before, image ->> 'tier'
FROM (
    SELECT *, lag(image ->> 'tier') OVER (PARTITION BY key_id ORDER BY seq) AS before
    FROM states WHERE table_name = 'users' AND NOT is_delete
) AS each_state
WHERE before <> image ->> 'tier'
