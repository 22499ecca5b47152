"""Who may see the page: host names, passwords, sessions, a reverse proxy's header, and what browsers may load."""
