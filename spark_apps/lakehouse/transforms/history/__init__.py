"""History: what a table's stored changes become when more changes arrive.

`fold.difference` is the whole of it: changes in, rows to write out. The stored form is one row a change, hidden ones included: a no-op
that is forgotten is missed when a late change splits its run. The newest row of a key is all that a later change must know; whole
histories are read only for keys with a change that is not later, and for those that key changes link them with. Nothing here reads a
clock, and nothing depends on the order of arrival.
"""
