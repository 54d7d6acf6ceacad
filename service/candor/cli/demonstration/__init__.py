"""What `candor demo` shows, in parts: its inputs, its service, its pages."""
