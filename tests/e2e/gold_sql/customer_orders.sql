, bought AS (
    SELECT l.order_id, o.user_id, l.ordered_on, l.region, sum(l.quantity * l.unit_price_usd)::numeric(18, 2) AS revenue_usd
    FROM order_lines AS l
    JOIN shop.orders AS o USING (order_id)
    WHERE o.status IN ('paid', 'shipped', 'delivered') AND o.user_id IS NOT NULL
    GROUP BY l.order_id, o.user_id, l.ordered_on, l.region
)
SELECT order_id, user_id, ordered_on, region, revenue_usd,
    (SELECT min(b.ordered_on) FROM bought AS b WHERE b.user_id = bought.user_id) AS first_order_on
FROM bought
