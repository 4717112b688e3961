"""`python -m refresher` is the command `refresher`."""

from refresher.cli import main

if __name__ == "__main__":
    main()
