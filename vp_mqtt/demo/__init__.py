"""`vp demo`: the whole system on one machine, with a broker of its own and every node in its own process."""
