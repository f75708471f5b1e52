"""The commands that start the processes of a running exchange, each on its own."""
