-- title: Seconds since the newest order reached the board
-- chart: number: seconds
-- audience: order desk: can I trust what I see?
SELECT CAST(unix_timestamp(current_timestamp()) - unix_timestamp(max(commit_at)) AS BIGINT) AS seconds
FROM gold.orders_live
