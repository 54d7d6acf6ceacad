"""What client and server have in common: candor.v1 messages as arrays and options, and back."""
