"""Dashboards: the boards' page, Metabase's boards, a notebook, and the SQL engine that serves pages."""
