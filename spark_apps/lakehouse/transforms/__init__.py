"""Pure transforms: records in, records out; no session, path or clock."""
