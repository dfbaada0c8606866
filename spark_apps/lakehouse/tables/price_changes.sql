-- Where a version of an article has another price than the version before it, with the units sold in the weeks around that day.
SELECT c.product_id, c.name, c.category, c.changed_at, c.old_price_usd, c.new_price_usd,
  coalesce(sum(CASE WHEN d.day < CAST(c.changed_at AS DATE) THEN d.units END), CAST(0 AS BIGINT)) AS units_week_before,
  coalesce(sum(CASE WHEN d.day >= CAST(c.changed_at AS DATE) THEN d.units END), CAST(0 AS BIGINT)) AS units_week_after
FROM (
  SELECT product_id, name, category, _valid_from AS changed_at, price_usd AS new_price_usd,
    lag(price_usd) OVER (PARTITION BY product_id ORDER BY _valid_from) AS old_price_usd
  FROM silver.products_history
) AS c
LEFT JOIN gold.product_daily AS d
  ON d.product_id = c.product_id AND d.day BETWEEN date_sub(CAST(c.changed_at AS DATE), 7) AND date_add(CAST(c.changed_at AS DATE), 6)
WHERE c.old_price_usd <> c.new_price_usd
GROUP BY c.product_id, c.name, c.category, c.changed_at, c.old_price_usd, c.new_price_usd
