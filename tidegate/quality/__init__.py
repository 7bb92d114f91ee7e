"""Whether answers are what they used to be: what is counted of them, and how it is compared."""
