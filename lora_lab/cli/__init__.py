"""The command lines of the lab and their JSON contracts."""
