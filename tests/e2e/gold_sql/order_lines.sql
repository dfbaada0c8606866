-- Every line of a live order, with the product and the user as they were when the order was first committed.
SELECT o.order_id, i.line_no, (o.ordered_at AT TIME ZONE 'UTC')::date AS ordered_on, i.product_id, i.quantity, i.unit_price_usd,
    o.status::text AS status, (p.image ->> 'price_usd')::numeric(10, 2) AS list_price_usd, p.image ->> 'category' AS category,
    u.image ->> 'region' AS region, u.image ->> 'tier' AS tier, p.is_assumed OR u.is_assumed AS is_assumed
FROM shop.orders AS o
JOIN shop.order_items AS i USING (order_id)
CROSS JOIN LATERAL (
    SELECT s.committed_at AS instant, (s.image ->> 'user_id')::bigint AS user_id
    FROM states AS s WHERE s.table_name = 'orders' AND s.key_id = o.order_id AND NOT s.is_delete ORDER BY s.seq LIMIT 1
) AS f
CROSS JOIN LATERAL pg_temp.as_of('users', f.user_id, f.instant) AS u
CROSS JOIN LATERAL pg_temp.as_of('products', i.product_id, f.instant) AS p
