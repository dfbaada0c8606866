"""`order_lines`: every order line with what was true when it was ordered."""

from lakehouse.contract import Column, Layer, Table

TABLE = Table(
    name="order_lines",
    doc="Order lines with the list price, category, region and tier as they were when the order was first committed.",
    grain="one row per line of a live order",
    key=("order_id", "line_no"),
    layer=Layer.GOLD,
    inputs=("orders", "order_items", "products", "users"),
    slice="ordered_on",
    sliced_by={"orders": "CAST(ordered_at AS DATE)"},
    owner="order-desk",
    max_age_s=600,
    rules=(
        "As-of instant = commit time of the first version of the order; the user is the one named by that first version.",
        "The order's first version ever counts: an order deleted and entered again keeps the instant and the user of its first life.",
        "A product or user that was not there at that instant gives the version before (a closed account) or else its first one, "
        "and is_assumed says so; one that was never seen gives NULL and is_assumed.",
    ),
    columns=(
        Column(name="order_id", type="BIGINT", doc="The order's number."),
        Column(name="line_no", type="INT", doc="Position within the order, from 1."),
        Column(name="ordered_on", type="DATE", doc="UTC day of ordered_at."),
        Column(name="product_id", type="BIGINT", doc="The article sold."),
        Column(name="quantity", type="INT", doc="Units sold."),
        Column(name="unit_price_usd", type="DECIMAL(10,2)", doc="Price paid for one unit in US dollars."),
        Column(name="status", type="STRING", doc="Status of the order now."),
        Column(name="list_price_usd", type="DECIMAL(10,2)", doc="List price of the article as of the order."),
        Column(name="category", type="STRING", doc="Category of the article as of the order."),
        Column(name="region", type="STRING", doc="Region of the customer as of the order; NULL for a guest."),
        Column(name="tier", type="STRING", doc="Tier of the customer as of the order; NULL for a guest."),
        Column(
            name="is_assumed",
            type="BOOLEAN",
            doc="Whether an as-of value comes from a version that was not valid at the order's instant, or from none.",
        ),
    ),
)
