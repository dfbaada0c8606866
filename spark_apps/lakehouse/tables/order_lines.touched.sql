-- Days that changes of the inputs can reach. `changed.<input>` has the keys that changed since the last run, each with `since`: before
-- that instant the key's values are what they were; NULL where any instant may differ. It holds for tracked columns alone.
WITH
first_commits AS (
  SELECT order_id, min(_valid_from) AS first_at, min_by(user_id, _valid_from) AS user_id
  FROM silver.orders_history
  GROUP BY order_id
),
reached AS (
  SELECT order_id FROM changed.orders
  UNION
  SELECT order_id FROM changed.order_items
  UNION
  SELECT f.order_id
  FROM first_commits AS f
  JOIN changed.users AS c ON c.user_id = f.user_id
  WHERE c.since IS NULL OR f.first_at >= c.since
  UNION
  SELECT i.order_id
  FROM silver.order_items AS i
  JOIN first_commits AS f ON f.order_id = i.order_id
  JOIN changed.products AS c ON c.product_id = i.product_id
  WHERE c.since IS NULL OR f.first_at >= c.since
)
-- An order reaches the days in which its lines stand and the day that it has now.
SELECT g.ordered_on FROM gold.order_lines AS g JOIN reached AS r ON r.order_id = g.order_id
UNION
SELECT CAST(o.ordered_at AS DATE) AS ordered_on FROM silver.orders AS o JOIN reached AS r ON r.order_id = o.order_id
