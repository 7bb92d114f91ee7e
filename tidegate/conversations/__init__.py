"""Conversations that go on by the id of their last answer: kept by us, whoever answered."""
