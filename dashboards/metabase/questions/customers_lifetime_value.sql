-- title: Lifetime value by tier
-- chart: bar
-- audience: finance: what is a customer worth? Mean revenue to date of accounts that have bought.
-- empty: No account has bought yet.
SELECT tier, CAST(avg(revenue_usd) AS DECIMAL(18,2)) AS mean_revenue_usd
FROM gold.customers
WHERE orders > 0 [[AND region = {{region}}]]
GROUP BY tier
ORDER BY mean_revenue_usd DESC, tier
