-- title: Orders and revenue per minute
-- chart: combo: revenue_usd as line
-- audience: order desk: is the shop selling right now?
SELECT m.minute, count(o.order_id) AS orders, CAST(coalesce(sum(o.total_usd), 0) AS DECIMAL(18,2)) AS revenue_usd
FROM (
  SELECT explode(sequence(
    date_trunc('MINUTE', current_timestamp() - INTERVAL 59 MINUTES), date_trunc('MINUTE', current_timestamp()), INTERVAL 1 MINUTE
  )) AS minute
) AS m
LEFT JOIN gold.orders_live AS o ON date_trunc('MINUTE', o.ordered_at) = m.minute
GROUP BY m.minute
ORDER BY m.minute
