-- title: Shortest stock cover, in days
-- chart: table
-- audience: purchasing: what runs out first?
-- empty: Nothing was sold in the last 28 days.
SELECT name, category, stock, units_28d, cover_days
FROM gold.product_stock
WHERE is_active AND cover_days IS NOT NULL [[AND category = {{category}}]]
ORDER BY cover_days, name, product_id
LIMIT 10
