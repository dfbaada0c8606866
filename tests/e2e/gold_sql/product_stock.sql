, sold AS (
    SELECT product_id,
        sum(quantity) FILTER (
            WHERE status IN ('paid', 'shipped', 'delivered')
              AND ordered_on > (now() AT TIME ZONE 'UTC')::date - 28 AND ordered_on <= (now() AT TIME ZONE 'UTC')::date
        ) AS units,
        sum(quantity) FILTER (WHERE status IN ('shipped', 'delivered', 'returned')) AS shipped,
        sum(quantity) FILTER (WHERE status = 'returned') AS returned
    FROM order_lines GROUP BY product_id
)
SELECT p.product_id, p.sku, p.name, p.category::text, p.price_usd, p.stock, p.is_active, coalesce(s.units, 0),
    round(p.stock * 28.0 / s.units, 1), coalesce(s.shipped, 0), coalesce(s.returned, 0)
FROM shop.products AS p
LEFT JOIN sold AS s USING (product_id)
