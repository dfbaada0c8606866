-- title: Customers at risk, by tier
-- chart: bar
-- audience: marketing: whom should we contact? No order for twice the usual gap, at least 30 days.
-- empty: No account has bought yet.
SELECT tier, count(CASE WHEN is_at_risk THEN 1 END) AS at_risk, count(CASE WHEN NOT is_at_risk THEN 1 END) AS active
FROM gold.customers
WHERE orders > 0 [[AND region = {{region}}]]
GROUP BY tier
ORDER BY tier
