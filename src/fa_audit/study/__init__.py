"""Study: a published experiment as cells, each run once and kept in the ledger."""
