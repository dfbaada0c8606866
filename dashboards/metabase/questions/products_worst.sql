-- title: Slowest sellers
-- chart: table
-- audience: merchandising: what should we discontinue? Articles on sale.
-- empty: No article is on sale.
SELECT p.name, p.category, p.stock, coalesce(sum(d.units), CAST(0 AS BIGINT)) AS units
FROM gold.product_stock AS p
LEFT JOIN gold.product_daily AS d ON d.product_id = p.product_id [[AND d.day >= CAST({{from}} AS DATE)]] [[AND d.day <= CAST({{to}} AS DATE)]]
WHERE p.is_active [[AND p.category = {{category}}]]
GROUP BY p.product_id, p.name, p.category, p.stock
ORDER BY units, p.stock DESC, p.name, p.product_id
LIMIT 10
