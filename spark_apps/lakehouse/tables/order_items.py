"""`order_items`: the lines of each order."""

from lakehouse.contract import Column, Expect, History, Table

TABLE = Table(
    name="order_items",
    doc="Order lines. The price is what the customer paid, whatever the list price is today.",
    grain="one row per line of an order",
    key=("order_id", "line_no"),
    history=History.LATEST,
    owner="order-desk",
    max_age_s=300,
    columns=(
        Column(name="order_id", type="BIGINT", doc="The order the line belongs to."),
        Column(name="line_no", type="INT", doc="Position within the order, from 1."),
        Column(name="product_id", type="BIGINT", doc="The article sold."),
        Column(name="quantity", type="INT", doc="Units sold."),
        Column(name="unit_price_usd", type="DECIMAL(10,2)", doc="Price paid for one unit in US dollars."),
        Column(name="updated_at", type="TIMESTAMP", doc="When the shop last changed the row, by the shop's clock."),
    ),
    expects=(Expect(name="quantity_is_positive", condition="quantity > 0", doc="A line without units sells nothing."),),
)
