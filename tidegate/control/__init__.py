"""The back of house: one process that loads the spool; requests go on without it."""
