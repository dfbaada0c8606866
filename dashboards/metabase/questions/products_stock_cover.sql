-- title: Shortest stock cover, in days
-- chart: table
-- audience: purchasing: what runs out first?
SELECT name, category, stock, units_28d, cover_days
FROM gold.product_stock
WHERE is_active AND cover_days IS NOT NULL [[AND category = {{category}}]]
ORDER BY cover_days, name
LIMIT 10
