-- title: Orders and revenue a minute
-- chart: combo: revenue_usd as line
-- audience: order desk: is the shop selling right now?
SELECT date_trunc('MINUTE', ordered_at) AS minute, count(*) AS orders, CAST(sum(total_usd) AS DECIMAL(18,2)) AS revenue_usd
FROM gold.orders_live
WHERE ordered_at >= current_timestamp() - INTERVAL 60 MINUTES AND ordered_at <= current_timestamp()
GROUP BY 1
ORDER BY 1
