-- title: Orders by status, last hour
-- chart: bar
-- audience: order desk: where are the current orders?
-- empty: No order was placed in the last hour.
SELECT status, count(*) AS orders
FROM gold.orders_live
WHERE ordered_at >= current_timestamp() - INTERVAL 60 MINUTES AND ordered_at <= current_timestamp()
GROUP BY status
ORDER BY orders DESC, status
