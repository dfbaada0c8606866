"""The platform on one machine without Docker: `python -m infra.local up | down | status | doctor | logs | restart | wipe | demo`.

`stages` starts what `infra/services` declares, in order; `supervision` keeps it running.
"""
