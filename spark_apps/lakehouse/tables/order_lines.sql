-- Every line of a live order, with what was true when the order was first committed.
WITH
-- The instant, and the user whom the order's first version ever named.
first_commits AS (
  SELECT order_id, min(_valid_from) AS first_at, min_by(user_id, _valid_from) AS user_id
  FROM silver.orders_history
  GROUP BY order_id
),
heads AS (
  SELECT o.order_id, o.status, CAST(o.ordered_at AS DATE) AS ordered_on, f.first_at, f.user_id
  FROM silver.orders AS o
  LEFT JOIN first_commits AS f ON f.order_id = o.order_id
),
lines AS (
  SELECT i.order_id, i.line_no, i.product_id, i.quantity, i.unit_price_usd, h.status, h.ordered_on, h.first_at
  FROM silver.order_items AS i
  JOIN heads AS h ON h.order_id = i.order_id
),

-- Which version of its account an order takes: the last one begun at or before the instant, where there is none the first one.
-- Orders and versions stand in one sequence of time per account. A join on the account and the time would pair every order of the
-- account with every version. A version that begins at the very instant comes first: it is valid from then on.
user_moments AS (
  SELECT order_id, user_id, first_at AS moment, CAST(NULL AS TIMESTAMP) AS begun_at FROM heads WHERE user_id IS NOT NULL
  UNION ALL
  SELECT CAST(NULL AS BIGINT) AS order_id, user_id, _valid_from AS moment, _valid_from AS begun_at FROM silver.users_history
),
user_starts AS (
  SELECT order_id, user_id, moment,
    max(begun_at) OVER (
      PARTITION BY user_id ORDER BY moment ASC NULLS FIRST, begun_at ASC NULLS LAST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS last_begun_at,
    min(begun_at) OVER (PARTITION BY user_id) AS first_begun_at
  FROM user_moments
),
order_users AS (
  SELECT s.order_id, v.region, v.tier,
    coalesce(v._valid_from <= s.moment AND (v._valid_to IS NULL OR s.moment < v._valid_to), false) AS is_valid
  FROM user_starts AS s
  LEFT JOIN silver.users_history AS v ON v.user_id = s.user_id AND v._valid_from = coalesce(s.last_begun_at, s.first_begun_at)
  WHERE s.order_id IS NOT NULL
),

-- Which version of its article a line takes: the same.
product_moments AS (
  SELECT order_id, line_no, product_id, first_at AS moment, CAST(NULL AS TIMESTAMP) AS begun_at FROM lines WHERE product_id IS NOT NULL
  UNION ALL
  SELECT CAST(NULL AS BIGINT) AS order_id, CAST(NULL AS INT) AS line_no, product_id, _valid_from AS moment, _valid_from AS begun_at
  FROM silver.products_history
),
product_starts AS (
  SELECT order_id, line_no, product_id, moment,
    max(begun_at) OVER (
      PARTITION BY product_id ORDER BY moment ASC NULLS FIRST, begun_at ASC NULLS LAST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS last_begun_at,
    min(begun_at) OVER (PARTITION BY product_id) AS first_begun_at
  FROM product_moments
),
line_products AS (
  SELECT s.order_id, s.line_no, v.price_usd, v.category,
    coalesce(v._valid_from <= s.moment AND (v._valid_to IS NULL OR s.moment < v._valid_to), false) AS is_valid
  FROM product_starts AS s
  LEFT JOIN silver.products_history AS v ON v.product_id = s.product_id AND v._valid_from = coalesce(s.last_begun_at, s.first_begun_at)
  WHERE s.order_id IS NOT NULL
)

SELECT l.order_id, l.line_no, l.ordered_on, l.product_id, l.quantity, l.unit_price_usd, l.status,
  p.price_usd AS list_price_usd, p.category, u.region, u.tier,
  -- A guest's order names no account, and takes none: nothing is assumed of it.
  NOT (coalesce(u.is_valid, true) AND coalesce(p.is_valid, true)) AS is_assumed
FROM lines AS l
LEFT JOIN order_users AS u ON u.order_id = l.order_id
LEFT JOIN line_products AS p ON p.order_id = l.order_id AND p.line_no = l.line_no
