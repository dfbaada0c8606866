, bought AS (
    SELECT o.order_id, o.user_id, min(l.ordered_on) AS ordered_on, sum(l.quantity * l.unit_price_usd) AS revenue_usd
    FROM order_lines AS l
    JOIN shop.orders AS o USING (order_id)
    WHERE o.status IN ('paid', 'shipped', 'delivered')
    GROUP BY o.order_id, o.user_id
), totals AS (
    SELECT user_id, min(ordered_on) AS first_on, max(ordered_on) AS last_on, count(*) AS orders, sum(revenue_usd) AS revenue_usd
    FROM bought GROUP BY user_id
)
SELECT u.user_id, u.region::text, u.tier::text, (u.created_at AT TIME ZONE 'UTC')::date AS joined_on, t.first_on, t.last_on,
    coalesce(t.orders, 0), coalesce(t.revenue_usd, 0)::numeric(18, 2),
    t.user_id IS NOT NULL AND (now() AT TIME ZONE 'UTC')::date - t.last_on
        > greatest(30, CASE WHEN t.orders > 1 THEN 2.0 * (t.last_on - t.first_on) / (t.orders - 1) END) AS is_at_risk
FROM shop.users AS u
LEFT JOIN totals AS t USING (user_id)
