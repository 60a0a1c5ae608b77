"""`make bench`: how fast and how frugal a real instance is, beside the budgets of the design."""
