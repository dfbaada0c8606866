-- title: Latest orders
-- chart: table
-- audience: order desk: what just came in?
-- empty: No order changed in the last hour.
SELECT order_id, ordered_at, status, total_usd, CASE WHEN user_id IS NULL THEN 'guest' ELSE 'account' END AS buyer
FROM gold.orders_live
WHERE ordered_at <= current_timestamp()
ORDER BY ordered_at DESC, order_id DESC
LIMIT 12
