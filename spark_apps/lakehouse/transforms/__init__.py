"""What records become: no session, path or clock. Records in, records out."""
