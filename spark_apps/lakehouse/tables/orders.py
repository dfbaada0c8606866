"""`orders`: what customers bought, and how far each purchase has come."""

from lakehouse.contract import Column, Expect, History, Table

TABLE = Table(
    name="orders",
    doc="Orders with their current status. Guests order without an account; a deleted account leaves its orders behind.",
    grain="one row per order",
    key=("order_id",),
    history=History.FULL,
    owner="order-desk",
    max_age_s=300,
    columns=(
        Column(name="order_id", type="BIGINT", doc="The order's number."),
        Column(name="user_id", type="BIGINT", doc="The account that ordered; NULL for a guest or a deleted account.", person="users"),
        Column(name="status", type="STRING", doc="placed, paid, shipped, delivered, cancelled or returned."),
        Column(
            name="ordered_at", type="TIMESTAMP", doc="When the customer ordered, by the shop's clock; its UTC day is the day of the sale."
        ),
        Column(name="total_usd", type="DECIMAL(12,2)", doc="Sum of the order's lines in US dollars."),
        Column(name="coupon_code", type="STRING", doc="Coupon used, if any."),
        Column(name="shipping_address", type="STRING", doc="Delivery address as a JSON object.", pii=True),
        Column(name="checkout_id", type="STRING", doc="UUID of the checkout session that made the order."),
        Column(name="updated_at", type="TIMESTAMP", doc="When the shop last changed the row, by the shop's clock."),
    ),
    expects=(
        Expect(name="total_is_not_negative", condition="total_usd >= 0", doc="An order never pays the customer."),
        Expect(
            name="status_is_known",
            condition="status IN ('placed', 'paid', 'shipped', 'delivered', 'cancelled', 'returned')",
            doc="Revenue is defined over these statuses; a new one must be placed among them first.",
        ),
    ),
)
