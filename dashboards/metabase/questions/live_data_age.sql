-- title: Time since the latest order change
-- chart: number: seconds
-- audience: order desk: is the data up to date?
SELECT CAST(unix_timestamp(current_timestamp()) - unix_timestamp(max(commit_at)) AS BIGINT) AS seconds
FROM gold.orders_live
