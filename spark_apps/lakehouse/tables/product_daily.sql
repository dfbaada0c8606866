-- What each article sold a day.
SELECT ordered_on AS day, product_id,
  CAST(sum(quantity) AS BIGINT) AS units,
  CAST(sum(quantity * unit_price_usd) AS DECIMAL(18,2)) AS revenue_usd
FROM gold.order_lines
WHERE status IN ('paid', 'shipped', 'delivered')
GROUP BY ordered_on, product_id
