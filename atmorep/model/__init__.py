"""The network; it knows no file, device, rank or configuration file."""
