-- title: Revenue by category
-- chart: bar
-- audience: merchandising: which categories bring the most revenue?
-- empty: Nothing was sold in this period.
SELECT category, CAST(sum(revenue_usd) AS DECIMAL(18,2)) AS revenue_usd
FROM gold.daily_sales
WHERE true [[AND day >= CAST({{from}} AS DATE)]] [[AND day <= CAST({{to}} AS DATE)]] [[AND category = {{category}}]] [[AND region = {{region}}]]
GROUP BY category
ORDER BY revenue_usd DESC, category
