"""Values: the cluster file as a value, facts, plans, events. No I/O, no clock."""
