"""`product_daily`: what each article sold a day."""

from lakehouse.contract import Column, Layer, Table
from lakehouse.definitions import REVENUE

TABLE = Table(
    name="product_daily",
    doc="Units and revenue of each article a day. Late changes correct old days.",
    grain="one row per day and article with at least one counted line",
    key=("day", "product_id"),
    layer=Layer.GOLD,
    inputs=("order_lines",),
    slice="day",
    sliced_by={"order_lines": "ordered_on"},
    owner="merchandising",
    max_age_s=600,
    rules=(REVENUE,),
    columns=(
        Column(name="day", type="DATE", doc="UTC day of the sale."),
        Column(name="product_id", type="BIGINT", doc="The article sold."),
        Column(name="units", type="BIGINT", doc="Units sold."),
        Column(name="revenue_usd", type="DECIMAL(18,2)", doc="Revenue in US dollars."),
    ),
)
