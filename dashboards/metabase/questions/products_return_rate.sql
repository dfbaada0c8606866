-- title: Return rate by category, in percent
-- chart: bar
-- audience: merchandising: what is returned most?
-- empty: Nothing has been shipped yet.
SELECT category, CAST(100 * sum(returned_units) / sum(shipped_units) AS DECIMAL(5,1)) AS percent_returned
FROM gold.product_stock
WHERE shipped_units > 0 [[AND category = {{category}}]]
GROUP BY category
ORDER BY percent_returned DESC, category
