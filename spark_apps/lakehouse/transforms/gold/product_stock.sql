-- Articles with their stock, what sold in the last 28 days, and how much came back.
SELECT p.product_id, p.sku, p.name, p.category, p.price_usd, p.stock, p.is_active,
  coalesce(s.units, CAST(0 AS BIGINT)) AS units_28d,
  CAST(CASE WHEN s.units > 0 THEN CAST(p.stock AS DECIMAL(12,0)) * 28 / s.units END AS DECIMAL(12,1)) AS cover_days,
  coalesce(r.shipped_units, CAST(0 AS BIGINT)) AS shipped_units,
  coalesce(r.returned_units, CAST(0 AS BIGINT)) AS returned_units
FROM silver.products AS p
LEFT JOIN (
  SELECT product_id, sum(units) AS units FROM gold.product_daily WHERE day > date_sub(current_date(), 28) AND day <= current_date() GROUP BY product_id
) AS s ON s.product_id = p.product_id
LEFT JOIN (
  SELECT product_id, sum(quantity) AS shipped_units, sum(CASE WHEN status = 'returned' THEN quantity ELSE 0 END) AS returned_units
  FROM gold.order_lines WHERE status IN ('shipped', 'delivered', 'returned') GROUP BY product_id
) AS r ON r.product_id = p.product_id
