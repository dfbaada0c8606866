"""`price_changes`: what a new price did to the units sold."""

from lakehouse.contract import Column, Layer, Table
from lakehouse.definitions import REVENUE

TABLE = Table(
    name="price_changes",
    doc="Price changes of articles, from their history, with the units sold in the week before and the week after.",
    grain="one row per version of an article whose price is not that of the version before",
    key=(
        "product_id",
        "changed_at",
    ),
    layer=Layer.GOLD,
    inputs=(
        "products",
        "product_daily",
    ),
    owner="merchandising",
    max_age_s=600,
    rules=(
        REVENUE,
        "The week before ends with the day before the change, the week after begins with its day; it may not be over yet.",
    ),
    columns=(
        Column(name="product_id", type="BIGINT", doc="The article's number."),
        Column(name="name", type="STRING", doc="Title shown in the shop at that moment."),
        Column(name="category", type="STRING", doc="Department at that moment."),
        Column(name="changed_at", type="TIMESTAMP", doc="When the change was committed at the source."),
        Column(name="old_price_usd", type="DECIMAL(10,2)", doc="List price before in US dollars."),
        Column(name="new_price_usd", type="DECIMAL(10,2)", doc="List price after in US dollars."),
        Column(name="units_week_before", type="BIGINT", doc="Counted units in the seven days before."),
        Column(name="units_week_after", type="BIGINT", doc="Counted units in the seven days from the change on."),
    ),
)
