"""One price for each market, from the source that knows it best at the moment.

quotes      what a price is, and which ones are refused
choice      which of a market's sources has the word: pure, time is given
board       all markets: what each source said, what is not published yet; pure as well
stream      the outside market's stream of trades
poll        the outside market asked each second, where its stream does not speak
own         the last trade of our own matchers
publisher   Redis: `price:{symbol}`, channel `prices`, and what the stops wait for
store       PostgreSQL: instruments, last trades, the table of prices
service     all of it at work, in one process
"""
