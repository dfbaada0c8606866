"""Bronze: every captured record, as it was received."""
