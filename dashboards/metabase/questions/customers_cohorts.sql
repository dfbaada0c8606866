-- title: Retention by weekly cohort
-- chart: table: percent
-- audience: marketing: what share of first-time buyers buys again, week by week?
-- empty: No account has bought yet. Cohorts start with a first order.
SELECT cohort, count(DISTINCT user_id) AS buyers,
  CASE WHEN datediff(current_date(), cohort) >= 14 THEN CAST(100 * count(DISTINCT CASE WHEN week = 1 THEN user_id END) / count(DISTINCT user_id) AS DECIMAL(5,1)) END AS week_1,
  CASE WHEN datediff(current_date(), cohort) >= 21 THEN CAST(100 * count(DISTINCT CASE WHEN week = 2 THEN user_id END) / count(DISTINCT user_id) AS DECIMAL(5,1)) END AS week_2,
  CASE WHEN datediff(current_date(), cohort) >= 28 THEN CAST(100 * count(DISTINCT CASE WHEN week = 3 THEN user_id END) / count(DISTINCT user_id) AS DECIMAL(5,1)) END AS week_3,
  CASE WHEN datediff(current_date(), cohort) >= 35 THEN CAST(100 * count(DISTINCT CASE WHEN week = 4 THEN user_id END) / count(DISTINCT user_id) AS DECIMAL(5,1)) END AS week_4
FROM (
  SELECT user_id, CAST(date_trunc('WEEK', first_order_on) AS DATE) AS cohort, CAST(floor(datediff(ordered_on, first_order_on) / 7) AS INT) AS week
  FROM gold.customer_orders
  WHERE true [[AND user_id IN (SELECT user_id FROM gold.customers WHERE region = {{region}})]]
)
GROUP BY cohort
ORDER BY cohort DESC
LIMIT 8
