"""Lets `python -m paydesk` do what `paydesk` does."""

from paydesk.cli import main

main()
