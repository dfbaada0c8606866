-- title: Accounts that have bought
-- chart: number: accounts
-- audience: owner: how many customers do we have?
SELECT count(*) AS buyers
FROM gold.customers
WHERE orders > 0 [[AND region = {{region}}]]
