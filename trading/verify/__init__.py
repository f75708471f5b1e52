"""`manage.py verify`: is what PostgreSQL holds what it must be?

Each check is independent of the code that wrote the rows: it derives what must be there from what it must be derived
from, and compares. All of them see the same moment of a live system (`snapshot`); nothing is locked, nothing is written.

Known limitation. The snapshot is kept to the end, so PostgreSQL cannot clean up behind newer changes for as long.
"""
