"""The bank's books: what is in the ledger at a moment, closed days, statements, and proofs of what is owed.

balance         trial balance at any moment, from postings alone
day             which days there are, and their bounds
closing         closes a day: figures, checks, statements, one signed report; activity and statements are parts of it
late            what came into a day after it was closed
checking        is a signed report still true?
signing         canonical JSON and its signature
merkle          the Merkle-sum tree of liabilities (pure)
solvency        builds such trees from the ledger, publishes their roots, and finds a user's leaves
bank_statement  a bank's statement, as csv_statement and camt053 read it
matching        the ledger's bookings against its lines (pure)
reconciling     both together
exact           sums that are never rounded
"""
