"""`vp broker check`: which features that vp-mqtt needs a broker has, and what replaces those that it lacks."""
