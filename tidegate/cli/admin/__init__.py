"""What the commands that speak to the admin API have in common."""
