"""Classes of one's own: frames worth a look, labelled pictures, and what is done with them."""
