, changes AS (
    SELECT key_id AS product_id, committed_at AT TIME ZONE 'UTC' AS changed_at, image, before, (image ->> 'price_usd')::numeric(10, 2) AS price
    FROM (
        SELECT *, lag((image ->> 'price_usd')::numeric(10, 2)) OVER (PARTITION BY key_id ORDER BY seq) AS before
        FROM states WHERE table_name = 'products' AND NOT is_delete
    ) AS each_state
)
SELECT product_id, image ->> 'name', image ->> 'category', changed_at, before, price,
    (SELECT coalesce(sum(quantity), 0) FROM order_lines AS l
     WHERE l.product_id = c.product_id AND l.status IN ('paid', 'shipped', 'delivered')
       AND l.ordered_on >= c.changed_at::date - 7 AND l.ordered_on < c.changed_at::date),
    (SELECT coalesce(sum(quantity), 0) FROM order_lines AS l
     WHERE l.product_id = c.product_id AND l.status IN ('paid', 'shipped', 'delivered')
       AND l.ordered_on >= c.changed_at::date AND l.ordered_on < c.changed_at::date + 7)
FROM changes AS c
WHERE before <> price
