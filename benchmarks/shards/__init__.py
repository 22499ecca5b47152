"""Several fusion nodes that share a site's cameras, while some of them come, go and hang."""
