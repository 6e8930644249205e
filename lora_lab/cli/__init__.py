"""The lab's command lines and their JSON contracts."""
