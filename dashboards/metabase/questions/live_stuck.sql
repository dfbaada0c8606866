-- title: Stuck orders
-- chart: table
-- audience: order desk: which orders need attention? Placed or paid, without a change for 15 to 60 minutes.
-- empty: No stuck orders. Every open order changed in the last 15 minutes.
SELECT order_id, status, total_usd, CAST((unix_timestamp(current_timestamp()) - unix_timestamp(commit_at)) / 60 AS INT) AS minutes_waiting
FROM gold.orders_live
WHERE status IN ('placed', 'paid') AND commit_at < current_timestamp() - INTERVAL 15 MINUTES
ORDER BY commit_at, order_id
LIMIT 12
