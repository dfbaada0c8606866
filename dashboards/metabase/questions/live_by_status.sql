-- title: Orders of the last hour by status
-- chart: bar
-- audience: order desk: where do orders stand?
-- empty: No order was placed within the last hour.
SELECT status, count(*) AS orders
FROM gold.orders_live
WHERE ordered_at >= current_timestamp() - INTERVAL 60 MINUTES AND ordered_at <= current_timestamp()
GROUP BY status
ORDER BY orders DESC, status
