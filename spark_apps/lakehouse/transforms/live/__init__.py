"""Records of the event topics as rows, and the windows of a minute."""
