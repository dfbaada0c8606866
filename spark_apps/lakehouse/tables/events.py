"""`events`: what visitors do on the shop's pages."""

from lakehouse.contract import Column, Layer, Table
from lakehouse.definitions import REGIONS

TABLE = Table(
    name="events",
    doc="Every event of the shop's pages, once, with the profile that its user had at that instant.",
    grain="one row per event",
    key=("event_id",),
    layer=Layer.LIVE,
    topic="ebap.events.raw",
    record_key="visitor_id",
    partition_by=("event_at", "region"),
    owner="web-analytics",
    max_age_s=300,
    rules=(
        "A repeat of an event is not stored; the first one that Kafka received counts. A repeat of a clamped one is found for a day.",
        "The profile is the version of silver.users_history that is valid at event_at; before the first version, the first one.",
        "An event is late if Kafka received it ten minutes or more after the end of its one-minute window.",
    ),
    columns=(
        Column(name="event_id", type="STRING", is_uuid=True, doc="UUID of the event, given by the page."),
        Column(
            name="event_type",
            type="STRING",
            doc="What the visitor did.",
            choices=("view", "search", "product", "cart", "checkout", "purchase", "leave"),
        ),
        Column(name="event_at", type="TIMESTAMP", doc="When it happened, by the page's clock; never later than Kafka received it."),
        Column(name="visitor_id", type="STRING", pii=True, doc="The browser or device; NULL once its user is forgotten."),
        Column(name="user_id", type="BIGINT", is_optional=True, doc="The account that was logged in; NULL for guests.", person="users"),
        Column(name="session_id", type="STRING", pii=True, doc="The visit: events of one visitor without a long gap."),
        Column(name="product_id", type="BIGINT", is_optional=True, doc="The product on the page; NULL where there is none."),
        Column(name="order_id", type="BIGINT", is_optional=True, doc="The order that a purchase placed; NULL for other events."),
        Column(
            name="checkout_id",
            type="STRING",
            is_uuid=True,
            is_optional=True,
            doc="UUID of a checkout and of the purchase that completed it, as in orders; else NULL.",
        ),
        Column(name="region", type="STRING", choices=REGIONS, doc="Sales region that the visit came from."),
        Column(name="country", type="STRING", doc="ISO 3166-1 alpha-2 code of the country that the visit came from."),
        Column(name="device", type="STRING", doc="Kind of device."),
        Column(name="page", type="STRING", doc="Path of the page."),
        Column(
            name="user_region",
            type="STRING",
            doc="Region of the account at event_at; NULL for guests and unknown users.",
            pii=True,
            is_added=True,
        ),
        Column(
            name="user_tier",
            type="STRING",
            doc="Tier of the account at event_at; NULL for guests and unknown users.",
            pii=True,
            is_added=True,
        ),
        Column(name="is_assumed", type="BOOLEAN", doc="Whether no version of the account was valid at event_at.", is_added=True),
        Column(name="is_late", type="BOOLEAN", doc="Whether its window was final before it came.", is_added=True),
        Column(name="is_clamped", type="BOOLEAN", doc="Whether the page gave an instant after Kafka's, which replaced it.", is_added=True),
        Column(name="kafka_at", type="TIMESTAMP", doc="When Kafka received it; NULL for events loaded from files.", is_added=True),
        Column(name="kafka_partition", type="INT", doc="Kafka partition; NULL for events loaded from files.", is_added=True),
        Column(name="kafka_offset", type="BIGINT", doc="Kafka offset; NULL for events loaded from files.", is_added=True),
    ),
)
