"""Business definitions shared by several declarations and transforms."""

COUNTED_STATUSES = ("paid", "shipped", "delivered")

REVENUE = (
    "Revenue of a line = quantity × unit_price_usd, on the UTC day of ordered_at, while the order's current status is "
    f"{', '.join(COUNTED_STATUSES[:-1])} or {COUNTED_STATUSES[-1]}; cancelled and returned orders count nothing."
)

# Sales regions: each is a partition of the events, so that a record of another is a dead letter.
REGIONS = ("AMER", "APAC", "EMEA", "LATAM")
