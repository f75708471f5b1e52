"""How long records are kept, and what becomes of them then: archive files, checked, and the partition is dropped.

    audit log 7 years · orders and trades 5 · users 10 after they were closed

Times of an archive are whole partitions: one goes when its youngest row is due. The ledger, its seals and the journal
stay as they are: balances are the sums of all postings, books the outcome of all commands, and books of account must
be kept longer than orders.
"""
