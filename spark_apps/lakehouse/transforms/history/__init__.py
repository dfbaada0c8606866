"""History: what a table's stored changes become when more changes arrive.

`fold.difference` takes changes and returns the rows to write. The stored form has one row per change, hidden ones included: a late change
can split a run of equal rows, so no-ops are kept. The newest row of a key is enough state for a later change; whole histories are read only
for keys with a late change and for keys linked to them by key changes. The result depends neither on a clock nor on the order of arrival.
"""
