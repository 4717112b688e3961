"""What others may know: health verdicts read from the files, and log lines."""
