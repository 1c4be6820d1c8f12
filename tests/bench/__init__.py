"""Benchmarks: ``python -m tests.bench [NAME...] [--json]``. Figures move between machines; the ratios are what counts.

None of it is collected by pytest. Each module has ``measure()``, which takes less than about a minute (``scale``: many)
and returns a :class:`tests.bench.table.Table`; each can be run by itself, as ``python -m tests.bench.overhead``.
"""
