SELECT ordered_on AS day, product_id, sum(quantity)::bigint AS units, sum(quantity * unit_price_usd)::numeric(18, 2) AS revenue_usd
FROM order_lines
WHERE status IN ('paid', 'shipped', 'delivered')
GROUP BY ordered_on, product_id
