"""Suppliers of subject tokens: one file per kind, which describes itself (`interface`), and the list of kinds (`registry`)."""
