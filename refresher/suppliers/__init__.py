"""Suppliers of subject tokens: one file per kind, all behind `refresher.suppliers.interface`."""
