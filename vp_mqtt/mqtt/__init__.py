"""MQTT 5 (OASIS standard, 2019): the connection to the broker, and messages on it. No other package imports paho."""
