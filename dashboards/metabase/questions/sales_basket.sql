-- title: Average basket
-- chart: number: usd, against the period before
-- audience: finance: what is an order worth? An order with two categories counts in both.
WITH period AS (
  SELECT coalesce([[CAST({{from}} AS DATE),]] date_sub(coalesce([[CAST({{to}} AS DATE),]] current_date()), 6)) AS first_day, coalesce([[CAST({{to}} AS DATE),]] current_date()) AS last_day
), sales AS (
  SELECT s.*, s.day >= p.first_day AS is_now
  FROM gold.daily_sales AS s CROSS JOIN period AS p
  WHERE s.day BETWEEN date_sub(p.first_day, datediff(p.last_day, p.first_day) + 1) AND p.last_day
    [[AND s.category = {{category}}]] [[AND s.region = {{region}}]]
)
SELECT CAST(try_divide(sum(CASE WHEN is_now THEN revenue_usd END), sum(CASE WHEN is_now THEN orders END)) AS DECIMAL(18,2)) AS basket_usd,
  CAST(try_divide(sum(CASE WHEN NOT is_now THEN revenue_usd END), sum(CASE WHEN NOT is_now THEN orders END)) AS DECIMAL(18,2)) AS before
FROM sales
