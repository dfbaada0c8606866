-- shop.order_items once more, as one table in two partitions: what capture, silver and its oracle must not notice.
-- Run by the owner of schema `shop`, before the audit log begins; the rows are lost.

DROP TABLE shop.order_items;
CREATE TABLE shop.order_items (
    order_id bigint NOT NULL REFERENCES shop.orders (order_id) ON DELETE CASCADE,
    line_no integer NOT NULL CHECK (line_no > 0),
    product_id bigint NOT NULL REFERENCES shop.products (product_id),
    quantity integer NOT NULL CHECK (quantity > 0),
    unit_price_usd numeric(10, 2) NOT NULL CHECK (unit_price_usd >= 0),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, line_no)
) PARTITION BY LIST (line_no);
CREATE TABLE shop.order_items_low PARTITION OF shop.order_items FOR VALUES IN (1, 2, 3, 4, 101, 102);
CREATE TABLE shop.order_items_other PARTITION OF shop.order_items DEFAULT;
