"""MQTT 5: the connection to the broker, and the messages on it."""
