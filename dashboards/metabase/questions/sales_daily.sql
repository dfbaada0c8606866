-- title: Revenue per day, with 7-day mean
-- chart: combo: mean_7_days_usd as line
-- audience: finance: what is the trend?
-- empty: Nothing was sold in this period.
SELECT day, revenue_usd, mean_7_days_usd
FROM (
  SELECT day, revenue_usd, CAST(avg(revenue_usd) OVER (ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS DECIMAL(18,2)) AS mean_7_days_usd
  FROM (
    SELECT day, CAST(sum(revenue_usd) AS DECIMAL(18,2)) AS revenue_usd
    FROM gold.daily_sales
    WHERE true [[AND category = {{category}}]] [[AND region = {{region}}]]
    GROUP BY day
  )
)
WHERE true [[AND day >= CAST({{from}} AS DATE)]] [[AND day <= CAST({{to}} AS DATE)]]
ORDER BY day
