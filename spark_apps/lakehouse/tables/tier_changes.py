"""`tier_changes`: who moved from which loyalty tier to which."""

from lakehouse.contract import Column, Layer, Table

TABLE = Table(
    name="tier_changes",
    doc="Moves of accounts between loyalty tiers, from their history.",
    grain="one row per version of an account whose tier is not that of the version before",
    key=(
        "user_id",
        "changed_at",
    ),
    layer=Layer.GOLD,
    inputs=("users",),
    owner="customer-data",
    max_age_s=600,
    rules=("A move is dated by the commit at the source.",),
    columns=(
        Column(name="user_id", type="BIGINT", doc="The account's number."),
        Column(name="changed_at", type="TIMESTAMP", doc="When the move was committed at the source."),
        Column(name="region", type="STRING", doc="Sales region of the account at that moment."),
        Column(name="from_tier", type="STRING", doc="Tier before."),
        Column(name="to_tier", type="STRING", doc="Tier after."),
    ),
)
