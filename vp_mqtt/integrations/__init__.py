"""Other systems that a site talks to."""
