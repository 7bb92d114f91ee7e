"""What people see in a browser: pages that the control process makes, and the way in to them."""
