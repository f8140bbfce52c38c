"""What people see of a replay: the page and the terminal."""
