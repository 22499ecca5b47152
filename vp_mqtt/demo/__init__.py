"""`vp demo`: the whole system on one machine, every node a process of its own, over a broker of its own."""
