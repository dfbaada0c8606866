"""`customers`: what each account is worth, and whether it may be lost."""

from lakehouse.contract import Column, Layer, Table
from lakehouse.definitions import REVENUE

TABLE = Table(
    name="customers",
    doc="Live accounts with what they bought so far.",
    grain="one row per live account",
    key=("user_id",),
    layer=Layer.GOLD,
    inputs=(
        "users",
        "customer_orders",
    ),
    owner="customer-data",
    max_age_s=600,
    rules=(
        REVENUE,
        "At risk: the account has bought, and its last order is longer ago than twice its usual gap between orders, at least 30 days.",
    ),
    columns=(
        Column(name="user_id", type="BIGINT", doc="The account's number."),
        Column(name="region", type="STRING", doc="Sales region of the account now."),
        Column(name="tier", type="STRING", doc="Loyalty tier of the account now."),
        Column(name="joined_on", type="DATE", doc="UTC day on which the account was opened."),
        Column(name="first_order_on", type="DATE", doc="UTC day of the first counted order; NULL before it."),
        Column(name="last_order_on", type="DATE", doc="UTC day of the latest counted order; NULL before the first."),
        Column(name="orders", type="BIGINT", doc="Counted orders."),
        Column(name="revenue_usd", type="DECIMAL(18,2)", doc="Revenue of them in US dollars: the lifetime value so far."),
        Column(name="is_at_risk", type="BOOLEAN", doc="Whether the account may be lost; false where it never bought."),
    ),
)
