"""Events and telemetry: records to rows, the profile of a user at an instant, and the windows of a minute."""
