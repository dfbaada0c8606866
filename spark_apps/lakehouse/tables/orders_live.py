"""`orders_live`: the orders that changed within the last hour, seconds after the commit."""

from lakehouse.contract import Column, Layer, Table

TABLE = Table(
    name="orders_live",
    doc="Orders with a change landed in the last 60 minutes, read straight from bronze: no batch run stands between.",
    grain="one row per live order that changed in the last 60 minutes",
    key=("order_id",),
    layer=Layer.GOLD,
    inputs=("orders",),
    owner="order-desk",
    max_age_s=30,
    rules=("The newest change of each order in the order of its history; deleted orders are left out.",),
    columns=(
        Column(name="order_id", type="BIGINT", doc="The order's number."),
        Column(name="user_id", type="BIGINT", doc="The account that ordered; NULL for a guest or a deleted account."),
        Column(name="status", type="STRING", doc="Status of the order."),
        Column(name="total_usd", type="DECIMAL(12,2)", doc="Sum of the order's lines in US dollars."),
        Column(name="ordered_at", type="TIMESTAMP", doc="When the customer ordered, by the shop's clock."),
        Column(name="commit_at", type="TIMESTAMP", doc="When the newest change was committed at the source."),
    ),
)
