-- What EBAP adds to a source database, all of it in a schema of its own; run by the owner of the captured schema.

CREATE SCHEMA IF NOT EXISTS ebap;

-- One row, updated every few seconds: it moves the slot past the WAL of other databases, and shows how far capture is.
CREATE TABLE IF NOT EXISTS ebap.heartbeat (id integer PRIMARY KEY, beat_at timestamptz NOT NULL);
INSERT INTO ebap.heartbeat (id, beat_at) VALUES (1, now()) ON CONFLICT (id) DO NOTHING;

-- Requests to the running connector, such as an incremental snapshot.
CREATE TABLE IF NOT EXISTS ebap.signal (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text);
-- It held 2,048 characters once: too few for a list of keys.
ALTER TABLE ebap.signal ALTER COLUMN data TYPE text;

-- No more than capture needs: it beats the heart, marks the chunks of an incremental snapshot and reads the rest. Requests are the owner's.
GRANT USAGE ON SCHEMA ebap TO ebap_capture;
GRANT SELECT, UPDATE ON ebap.heartbeat TO ebap_capture;
GRANT SELECT, INSERT ON ebap.signal TO ebap_capture;
