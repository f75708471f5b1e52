"""`manage.py verify`: is what PostgreSQL holds what it must be?

Each check is independent of the code that wrote the rows: it works out what must be there, and compares.
All of them see the same moment of a live system (`snapshot`). Nothing is written, and no row is locked.

Known limitation. Until the end PostgreSQL keeps what newer changes leave behind, and the tables cannot get
new partitions.
"""
