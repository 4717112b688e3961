"""A local Google that refuses what Google refuses, in Google's words. It is not Google, and it is not secure.

One file per Google service, each a set of rules over `state.State` and a table of routes; `server` speaks HTTP,
`testing` is for tests. It shares no logic with what it exists to test: of this product it knows clocks, errors and
resource names.
"""
