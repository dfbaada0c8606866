"""`products`: what the shop sells."""

from lakehouse.contract import Column, Expect, History, Table

TABLE = Table(
    name="products",
    doc="The catalogue: every article the shop sells or has sold, with its price and stock.",
    grain="one row per article",
    key=("product_id",),
    history=History.FULL,
    owner="merchandising",
    max_age_s=300,
    columns=(
        Column(name="product_id", type="BIGINT", doc="The article's number."),
        Column(name="sku", type="STRING", doc="Stock keeping unit, printed on the label."),
        Column(name="name", type="STRING", doc="Title shown in the shop."),
        Column(name="category", type="STRING", doc="Department the article is sold in."),
        Column(name="price_usd", type="DECIMAL(10,2)", doc="List price in US dollars."),
        Column(name="cost_usd", type="DECIMAL(12,4)", doc="Purchase cost of one unit in US dollars."),
        Column(name="stock", type="INT", doc="Units on hand."),
        Column(name="weight_kg", type="DOUBLE", doc="Shipping weight in kilograms."),
        Column(name="is_active", type="BOOLEAN", doc="Whether the article can be ordered now."),
        Column(name="tags", type="ARRAY<STRING>", doc="Search tags."),
        Column(name="attributes", type="STRING", doc="Free attributes (colour, material) as a JSON object."),
        Column(name="image_sha256", type="BINARY", doc="SHA-256 of the product photo, 32 bytes."),
        Column(name="description", type="STRING", doc="Long sales text, several kilobytes; stored out of line at the source."),
        Column(name="launched_on", type="DATE", doc="First day on sale."),
        Column(name="created_at", type="TIMESTAMP", doc="When the article was entered, by the shop's clock."),
        Column(name="updated_at", type="TIMESTAMP", doc="When the shop last changed the row, by the shop's clock."),
    ),
    expects=(
        Expect(name="price_is_positive", condition="price_usd > 0", doc="A free or negative price is a typing error."),
        Expect(name="stock_is_not_negative", condition="stock >= 0", doc="Negative stock means an oversold article."),
    ),
)
