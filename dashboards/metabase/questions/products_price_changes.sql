-- title: Price changes and units sold
-- chart: table
-- audience: merchandising: did the new price sell more? Units in the week before and after.
-- empty: No price changed in this period.
SELECT name, changed_at, old_price_usd, new_price_usd, units_week_before, units_week_after
FROM gold.price_changes
WHERE true [[AND changed_at >= CAST({{from}} AS DATE)]] [[AND changed_at < date_add(CAST({{to}} AS DATE), 1)]] [[AND category = {{category}}]]
ORDER BY changed_at DESC, name, product_id
LIMIT 10
