"""Suppliers of subject tokens: one file per kind, which describes itself (`interface`); their list is `registry`."""
