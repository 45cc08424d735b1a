"""Benchmarks of Paydesk beside a ceiling and beside the usual way: `python -m bench`, told in README.md."""
