"""Suppliers of subject tokens: one file per kind, which describes itself; `interface` lists the kinds."""
