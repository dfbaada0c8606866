"""`product_stock`: how long the stock lasts, and what comes back."""

from lakehouse.contract import Column, Layer, Table
from lakehouse.definitions import REVENUE

TABLE = Table(
    name="product_stock",
    doc="Articles with stock, sales of the last four weeks and returns.",
    grain="one row per article",
    key=("product_id",),
    layer=Layer.GOLD,
    inputs=(
        "products",
        "product_daily",
        "order_lines",
    ),
    owner="merchandising",
    max_age_s=600,
    rules=(
        REVENUE,
        "Cover = stock divided by the average daily units of the last 28 days.",
        "Return rate = returned_units divided by shipped_units, over all orders that were shipped.",
    ),
    columns=(
        Column(name="product_id", type="BIGINT", doc="The article's number."),
        Column(name="sku", type="STRING", doc="Stock keeping unit, printed on the label."),
        Column(name="name", type="STRING", doc="Title shown in the shop."),
        Column(name="category", type="STRING", doc="Department the article is sold in."),
        Column(name="price_usd", type="DECIMAL(10,2)", doc="List price in US dollars."),
        Column(name="stock", type="INT", doc="Units on hand."),
        Column(name="is_active", type="BOOLEAN", doc="Whether the article can be ordered now."),
        Column(name="units_28d", type="BIGINT", doc="Counted units in the last 28 days."),
        Column(name="cover_days", type="DECIMAL(12,1)", doc="Days the stock lasts at that pace; NULL where nothing was sold."),
        Column(name="shipped_units", type="BIGINT", doc="Units ever shipped: orders shipped, delivered or returned."),
        Column(name="returned_units", type="BIGINT", doc="Units of them that came back."),
    ),
)
