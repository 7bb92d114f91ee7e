"""How failures are met: when to try again, when to rest a target, when to ask a second one."""
