"""`customer_orders`: the counted orders of accounts."""

from lakehouse.contract import Column, Layer, Table
from lakehouse.definitions import REVENUE

TABLE = Table(
    name="customer_orders",
    doc="Counted orders of accounts, without guests; who bought for the first time and who came back.",
    grain="one row per counted order of a live or closed account that the order still names",
    key=("order_id",),
    layer=Layer.GOLD,
    inputs=(
        "order_lines",
        "orders",
    ),
    owner="customer-data",
    max_age_s=600,
    rules=(REVENUE,),
    columns=(
        Column(name="order_id", type="BIGINT", doc="The order's number."),
        Column(name="user_id", type="BIGINT", doc="The account that ordered."),
        Column(name="ordered_on", type="DATE", doc="UTC day of the order."),
        Column(name="region", type="STRING", doc="Region of the customer as of the order."),
        Column(name="revenue_usd", type="DECIMAL(18,2)", doc="Revenue of the order's lines in US dollars."),
        Column(name="first_order_on", type="DATE", doc="UTC day of the account's first counted order."),
    ),
)
