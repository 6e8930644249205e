"""Recording of the measurements that live figures show."""
