"""A local Google that refuses what Google refuses, with Google's error texts. It is not Google, and it is not secure.

Each Google service is one file: rules over `state.State` and a table of routes. `server`, `application` and `routes`
serve requests; `testing` is for tests. The emulator shares no logic with what it tests: of this product it uses clocks,
errors and resource names only.
"""
