"""The site's settings, as the page shows and changes them."""
