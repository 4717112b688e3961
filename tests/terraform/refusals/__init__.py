"""The inputs that the modules refuse, with the remedy of each refusal, one file for each module."""
