-- The independent oracle: a trigger-written log of every change of the shop's tables, in a schema that capture does not see.
-- Run by the owner of schema `shop` as ONE transaction while capture may run (psql -1, or one string on an autocommit connection).
-- Running it again begins a new log. `python -m generator` and any other writer need no right on it.
--
-- audit.changes: seq      order of the changes of one key (for different keys it is no order: sequences do not follow commits)
--                key      the key's columns as a JSON object
--                op       r: was there when the log began; c, u, d: as Debezium names them; t: TRUNCATE, with NULL key
--                row      the new row as to_jsonb gives it in UTC; NULL for d and t
--                txid     the writer's transaction; committed_at in audit.commits joins it with pg_xact_commit_timestamp
--                moved_from  the key that the row had before, where an update changed it
-- An update of the key is two rows: d of the old key, c of the new one with moved_from.

SET LOCAL client_min_messages = warning;
DROP SCHEMA IF EXISTS audit CASCADE;
CREATE SCHEMA audit;

CREATE TABLE audit.changes (
    seq bigserial PRIMARY KEY,
    table_name text NOT NULL,
    key jsonb,
    op "char" NOT NULL,
    row jsonb,
    moved_from jsonb,
    txid bigint NOT NULL
);

CREATE VIEW audit.commits AS
SELECT seq, table_name, key, op, row, moved_from, txid, CASE WHEN op <> 'r' THEN pg_xact_commit_timestamp(txid::text::xid) END AS committed_at
FROM audit.changes;

CREATE FUNCTION audit.note_truncate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    INSERT INTO audit.changes (table_name, op, txid) VALUES (TG_TABLE_NAME, 't', pg_current_xact_id()::text::bigint);
    RETURN NULL;
END
$$;

-- One function a table, so that no key is looked up by name and an update never reads the old row's long text.
-- SECURITY DEFINER: another writer of the shop has no right on this schema. UTC makes the image the same for every session.
CREATE PROCEDURE audit.begin_log(name text, keys text[]) LANGUAGE plpgsql
AS $procedure$
DECLARE
    new_key text := (SELECT string_agg(format('%L, NEW.%I', key, key), ', ') FROM unnest(keys) AS key);
    old_key text := replace(new_key, 'NEW.', 'OLD.');
    is_moved text := (SELECT string_agg(format('OLD.%I <> NEW.%I', key, key), ' OR ') FROM unnest(keys) AS key);
BEGIN
    EXECUTE format($function$
        CREATE FUNCTION audit.note_%1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET timezone = 'UTC'
        AS $$
        DECLARE
            txid bigint := pg_current_xact_id()::text::bigint;
            op "char" := CASE TG_OP WHEN 'INSERT' THEN 'c' WHEN 'UPDATE' THEN 'u' ELSE 'd' END;
            moved_from jsonb;
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                IF %4$s THEN
                    INSERT INTO audit.changes (table_name, key, op, txid) VALUES (%1$L, jsonb_build_object(%3$s), 'd', txid);
                    op := 'c';
                    moved_from := jsonb_build_object(%3$s);
                END IF;
            END IF;
            IF op = 'd' THEN
                INSERT INTO audit.changes (table_name, key, op, txid) VALUES (%1$L, jsonb_build_object(%3$s), op, txid);
            ELSE
                INSERT INTO audit.changes (table_name, key, op, row, moved_from, txid)
                VALUES (%1$L, jsonb_build_object(%2$s), op, to_jsonb(NEW), moved_from, txid);
            END IF;
            RETURN NULL;
        END
        $$
    $function$, name, new_key, old_key, is_moved);
    EXECUTE format(
        'INSERT INTO audit.changes (table_name, key, op, row, txid)
         SELECT %1$L, jsonb_build_object(%2$s), ''r'', to_jsonb(t), pg_current_xact_id()::text::bigint FROM shop.%1$I AS t',
        name, replace(new_key, 'NEW.', 't.'));
    EXECUTE format(
        'CREATE TRIGGER audit_rows AFTER INSERT OR UPDATE OR DELETE ON shop.%1$I FOR EACH ROW EXECUTE FUNCTION audit.note_%1$s()', name);
    EXECUTE format('CREATE TRIGGER audit_truncate AFTER TRUNCATE ON shop.%I EXECUTE FUNCTION audit.note_truncate()', name);
END
$procedure$;

-- For this transaction only: the baseline's image is the trigger's.
SELECT set_config('timezone', 'UTC', true);
-- Writers wait until this transaction ends, so that no change falls between a table's baseline and its trigger.
LOCK TABLE shop.users, shop.products, shop.orders, shop.order_items IN SHARE ROW EXCLUSIVE MODE;
CALL audit.begin_log('users', '{user_id}');
CALL audit.begin_log('products', '{product_id}');
CALL audit.begin_log('orders', '{order_id}');
CALL audit.begin_log('order_items', '{order_id, line_no}');
