"""The providers: how each kind of target is opened and spoken to."""
