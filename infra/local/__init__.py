"""The platform on one machine without Docker: `python -m infra.local up | down | status | doctor | logs | restart | wipe | demo`.

`services` declares what runs, `stages` starts it in order, `supervision` keeps it running, `probes` says when it is ready.
"""
