-- title: Tier changes
-- chart: bar
-- audience: marketing: do customers move up or down?
-- empty: No account changed its tier in this period.
SELECT concat(from_tier, ' → ', to_tier) AS move, count(*) AS accounts
FROM gold.tier_changes
WHERE true [[AND changed_at >= CAST({{from}} AS DATE)]] [[AND changed_at < date_add(CAST({{to}} AS DATE), 1)]] [[AND region = {{region}}]]
GROUP BY 1
ORDER BY accounts DESC, move
