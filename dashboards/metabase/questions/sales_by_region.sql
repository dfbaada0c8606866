-- title: Revenue by region
-- chart: bar
-- audience: finance: where do customers buy?
-- empty: Nothing was sold in this period.
SELECT coalesce(region, 'guests') AS region, CAST(sum(revenue_usd) AS DECIMAL(18,2)) AS revenue_usd
FROM gold.daily_sales
WHERE true [[AND day >= CAST({{from}} AS DATE)]] [[AND day <= CAST({{to}} AS DATE)]] [[AND category = {{category}}]] [[AND region = {{region}}]]
GROUP BY 1
ORDER BY revenue_usd DESC, region
