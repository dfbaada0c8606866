-- Counted orders of accounts, with the day on which each account first bought.
SELECT order_id, user_id, ordered_on, region, revenue_usd,
  min(ordered_on) OVER (PARTITION BY user_id) AS first_order_on
FROM (
  SELECT l.order_id, o.user_id, l.ordered_on, l.region, CAST(sum(l.quantity * l.unit_price_usd) AS DECIMAL(18,2)) AS revenue_usd
  FROM gold.order_lines AS l
  JOIN silver.orders AS o ON o.order_id = l.order_id
  WHERE l.status IN ('paid', 'shipped', 'delivered') AND o.user_id IS NOT NULL
  GROUP BY l.order_id, o.user_id, l.ordered_on, l.region
)
