"""What the service and the training half both know: particles, geometry, channels, cards, errors."""
