-- title: Revenue, last hour
-- chart: number: usd
-- audience: owner: how is this hour going?
SELECT CAST(coalesce(sum(total_usd), 0) AS DECIMAL(18,2)) AS revenue_usd
FROM gold.orders_live
WHERE ordered_at >= current_timestamp() - INTERVAL 60 MINUTES AND ordered_at <= current_timestamp() AND status IN ('paid', 'shipped', 'delivered')
