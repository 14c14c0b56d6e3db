"""What is done about handshakes before and behind the view: whom Django refuses, and why."""
