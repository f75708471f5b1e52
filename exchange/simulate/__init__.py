"""`manage.py simulate`: a few makers and takers who trade the demo market, so that there is something to see.

market   where prices go, which quotes a maker wants, what a taker takes: pure, with chance injected
client   a trader of ours on the public REST API
run      who acts when, at which rate, and what came of it
"""
