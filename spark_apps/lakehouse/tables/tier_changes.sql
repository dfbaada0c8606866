-- Where a version of an account has another tier than the version before it.
SELECT user_id, changed_at, region, from_tier, to_tier
FROM (
  SELECT user_id, _valid_from AS changed_at, region, tier AS to_tier,
    lag(tier) OVER (PARTITION BY user_id ORDER BY _valid_from) AS from_tier
  FROM silver.users_history
)
WHERE from_tier <> to_tier
