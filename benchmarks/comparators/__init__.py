"""What variant parallelism is compared with: the single network, model parallelism and class parallelism.

Over the same broker, with the same node runtime. The single network is a family of one variant, and needs no code here.
"""
