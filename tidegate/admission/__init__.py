"""Who may go on now: rates, tokens, concurrency and money, held before and settled after."""
