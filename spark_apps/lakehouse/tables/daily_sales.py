"""`daily_sales`: what was sold a day, by category and region."""

from lakehouse.contract import Column, Layer, Table
from lakehouse.definitions import REVENUE

TABLE = Table(
    name="daily_sales",
    doc="Sales a day by category and region as of each order. Late changes correct old days.",
    grain="one row per day, category and region with at least one counted line",
    key=("day", "category", "region"),
    layer=Layer.GOLD,
    inputs=("order_lines",),
    slice="day",
    sliced_by={"order_lines": "ordered_on"},
    owner="finance",
    max_age_s=600,
    rules=(REVENUE,),
    columns=(
        Column(name="day", type="DATE", doc="UTC day of the sale."),
        Column(name="category", type="STRING", doc="Category of the article as of the order."),
        Column(name="region", type="STRING", doc="Region of the customer as of the order; NULL for guests."),
        Column(name="orders", type="BIGINT", doc="Distinct orders with at least one counted line."),
        Column(name="units", type="BIGINT", doc="Units sold."),
        Column(name="revenue_usd", type="DECIMAL(18,2)", doc="Revenue in US dollars."),
    ),
)
