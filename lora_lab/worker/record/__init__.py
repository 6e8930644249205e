"""Records the measurements that live figures show."""
