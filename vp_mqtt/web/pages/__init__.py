"""The pages, one module each: what is at which address. `pages.routes` lists them all."""
