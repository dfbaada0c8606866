-- title: Units sold
-- chart: number: units, against the period before
-- audience: finance: how many units did we sell?
WITH period AS (
  SELECT coalesce([[CAST({{from}} AS DATE),]] date_sub(coalesce([[CAST({{to}} AS DATE),]] current_date()), 6)) AS first_day, coalesce([[CAST({{to}} AS DATE),]] current_date()) AS last_day
), sales AS (
  SELECT s.*, s.day >= p.first_day AS is_now
  FROM gold.daily_sales AS s CROSS JOIN period AS p
  WHERE s.day BETWEEN date_sub(p.first_day, datediff(p.last_day, p.first_day) + 1) AND p.last_day
    [[AND s.category = {{category}}]] [[AND s.region = {{region}}]]
)
SELECT coalesce(sum(CASE WHEN is_now THEN units END), CAST(0 AS BIGINT)) AS units,
  coalesce(sum(CASE WHEN NOT is_now THEN units END), CAST(0 AS BIGINT)) AS before
FROM sales
