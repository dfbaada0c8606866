-- title: New and returning buyers per day
-- chart: stacked
-- audience: marketing: do we win new customers, and do they come back?
-- empty: No account bought in this period.
SELECT ordered_on AS day,
  count(DISTINCT CASE WHEN ordered_on = first_order_on THEN user_id END) AS new_buyers,
  count(DISTINCT CASE WHEN ordered_on > first_order_on THEN user_id END) AS returning_buyers
FROM gold.customer_orders
WHERE true [[AND ordered_on >= CAST({{from}} AS DATE)]] [[AND ordered_on <= CAST({{to}} AS DATE)]] [[AND region = {{region}}]]
GROUP BY ordered_on
ORDER BY ordered_on
