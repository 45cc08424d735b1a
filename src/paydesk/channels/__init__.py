"""Channels: how messages leave. `base` is the whole plug-in contract."""
