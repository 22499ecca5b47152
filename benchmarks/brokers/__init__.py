"""What MQTT brokers can do of what this project needs."""
