"""Does it help to label what the queue proposes: against frames chosen at random, with equal effort."""
