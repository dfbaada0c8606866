-- What was sold a day, by category and region. Guests have no region: NULL is a group of its own.
SELECT ordered_on AS day, category, region,
  count(DISTINCT order_id) AS orders,
  CAST(sum(quantity) AS BIGINT) AS units,
  CAST(sum(quantity * unit_price_usd) AS DECIMAL(18,2)) AS revenue_usd
FROM gold.order_lines
WHERE status IN ('paid', 'shipped', 'delivered')
GROUP BY ordered_on, category, region
