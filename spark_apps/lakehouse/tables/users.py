"""`users`: the shop's customer accounts."""

from lakehouse.contract import Column, Expect, History, Table

TABLE = Table(
    name="users",
    doc="Customer accounts of the shop. A closed account is deleted at the source; its orders stay, without a user.",
    grain="one row per account",
    key=("user_id",),
    history=History.FULL,
    owner="customer-data",
    max_age_s=300,
    columns=(
        Column(name="user_id", type="BIGINT", doc="The account's number, never reused.", person="users"),
        Column(name="email", type="STRING", doc="Login address, unique among live accounts.", pii=True),
        Column(name="full_name", type="STRING", doc="Name as the customer writes it.", pii=True),
        Column(name="region", type="STRING", doc="Sales region of the account: AMER, EMEA, APAC or LATAM."),
        Column(name="country", type="STRING", doc="ISO 3166-1 alpha-2 code of the country of the account."),
        Column(name="tier", type="STRING", doc="Loyalty tier: bronze, silver, gold or platinum."),
        Column(name="marketing_opt_in", type="BOOLEAN", doc="Whether the customer agreed to marketing mail."),
        Column(name="interests", type="ARRAY<STRING>", doc="Categories the customer follows, in the order chosen."),
        Column(name="preferences", type="STRING", doc="Settings of the account as a JSON object."),
        Column(name="birth_on", type="DATE", doc="Date of birth, where given.", pii=True),
        Column(name="created_at", type="TIMESTAMP", doc="When the account was opened, by the shop's clock."),
        Column(name="updated_at", type="TIMESTAMP", doc="When the shop last changed the row, by the shop's clock."),
    ),
    expects=(
        Expect(name="email_has_an_at", condition="email LIKE '%_@_%'", doc="An address without @ cannot be mailed."),
        Expect(
            name="tier_is_known",
            condition="tier IN ('bronze', 'silver', 'gold', 'platinum')",
            doc="A new tier at the source wants a look at every report that groups by tier.",
        ),
    ),
)
