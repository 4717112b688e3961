"""Known failures of Google's services as data: how each is recognised, its cause, its remedy, its source."""
