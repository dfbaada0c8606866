-- title: Customers
-- chart: number: accounts
-- audience: owner: how many accounts have ordered?
SELECT count(*) AS buyers
FROM gold.customers
WHERE orders > 0 [[AND region = {{region}}]]
