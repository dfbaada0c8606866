-- Live accounts with what they bought; twice the usual gap without an order is a risk, 30 days where there is no usual gap.
SELECT user_id, region, tier, joined_on, first_order_on, last_order_on, orders, revenue_usd,
  coalesce(datediff(current_date(), last_order_on) > greatest(2 * usual_gap_days, 30), false) AS is_at_risk
FROM (
  SELECT u.user_id, u.region, u.tier, CAST(u.created_at AS DATE) AS joined_on, b.first_order_on, b.last_order_on,
    coalesce(b.orders, CAST(0 AS BIGINT)) AS orders,
    coalesce(b.revenue_usd, CAST(0 AS DECIMAL(18,2))) AS revenue_usd,
    CASE WHEN b.orders > 1 THEN datediff(b.last_order_on, b.first_order_on) / (b.orders - 1) ELSE 15 END AS usual_gap_days
  FROM silver.users AS u
  LEFT JOIN (
    SELECT user_id, min(ordered_on) AS first_order_on, max(ordered_on) AS last_order_on, count(*) AS orders,
      CAST(sum(revenue_usd) AS DECIMAL(18,2)) AS revenue_usd
    FROM gold.customer_orders GROUP BY user_id
  ) AS b ON b.user_id = u.user_id
)
