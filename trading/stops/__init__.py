"""Stops: armed orders that wait for a price.

watchlist   who waits for which price, in Redis
check       what a price lets go, as commands to the matchers
rebuild     the watch list from PostgreSQL, where Redis lost or never had it
"""
