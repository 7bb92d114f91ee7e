"""Where loaded records live; only the control process and the command line look in."""
