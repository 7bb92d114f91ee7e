"""`python -m tidegate.providers.simulated`: the simulated provider as a process of its own."""

from tidegate.providers.simulated.command import simulate

simulate(prog_name="python -m tidegate.providers.simulated")
