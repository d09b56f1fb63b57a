"""Half an hour of requests and faults against two servers on one Redis: `make soak`."""
