"""What the servers under attack run: their handlers, and views that look into the process."""
