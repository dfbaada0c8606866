-- title: Best sellers
-- chart: table
-- audience: merchandising: what should we reorder?
-- empty: Nothing was sold in this period.
SELECT p.name, p.category, sum(d.units) AS units, CAST(sum(d.revenue_usd) AS DECIMAL(18,2)) AS revenue_usd
FROM gold.product_daily AS d
JOIN gold.product_stock AS p ON p.product_id = d.product_id
WHERE true [[AND d.day >= CAST({{from}} AS DATE)]] [[AND d.day <= CAST({{to}} AS DATE)]] [[AND p.category = {{category}}]]
GROUP BY p.product_id, p.name, p.category
ORDER BY revenue_usd DESC, p.name, p.product_id
LIMIT 10
