"""Prometheus: what nodes and the page export (docs/metrics.md).

`catalog` names every metric. `nodes` and `site` fill them from statuses, stats and what is seen of a site; `server`
serves those of one node. Only they import prometheus_client, which the extras [metrics] and [web] install.
"""
