"""One price for each market, from whoever knows it best at the moment.

quotes      what a price is, and which ones nobody should believe
choice      which of a market's sources has the word: pure, time is given
board       all markets: who said what, what readers have not been told yet; pure as well
stream      the outside market's stream of trades
poll        the outside market asked each second, where its stream does not speak
own         the last trade of our own matchers
publisher   Redis: `price:{symbol}`, channel `prices`, and what the stops wait for
store       PostgreSQL: instruments, last trades, the table of prices
service     all of it at work, in one process
"""
