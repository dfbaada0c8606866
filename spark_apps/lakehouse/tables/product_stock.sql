-- Articles with their stock, what sold in the last 28 days, and how much came back.
SELECT p.product_id, p.sku, p.name, p.category, p.price_usd, p.stock, p.is_active,
  coalesce(s.units, 0) AS units_28d,
  -- stock * 28 / units to the tenth, half away from zero. In whole numbers: the quotient of decimals is another one on each engine.
  CAST(
    CASE
      WHEN s.units > 0 THEN
        CAST((abs(CAST(p.stock AS BIGINT)) * 560 + s.units) DIV (s.units * 2) AS DECIMAL(11,0))
        * CASE WHEN p.stock < 0 THEN -0.1 ELSE 0.1 END
    END AS DECIMAL(12,1)
  ) AS cover_days,
  coalesce(r.shipped_units, 0) AS shipped_units,
  coalesce(r.returned_units, 0) AS returned_units
FROM silver.products AS p
LEFT JOIN (
  SELECT product_id, CAST(sum(units) AS BIGINT) AS units
  FROM gold.product_daily
  WHERE day > date_sub(current_date(), 28) AND day <= current_date()
  GROUP BY product_id
) AS s ON s.product_id = p.product_id
LEFT JOIN (
  SELECT product_id,
    sum(quantity) AS shipped_units,
    sum(CASE WHEN status = 'returned' THEN quantity ELSE 0 END) AS returned_units
  FROM gold.order_lines
  WHERE status IN ('shipped', 'delivered', 'returned')
  GROUP BY product_id
) AS r ON r.product_id = p.product_id
