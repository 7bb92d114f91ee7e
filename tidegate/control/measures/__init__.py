"""The numbers that Prometheus reads: made from records as they are loaded, and from boards.

Nothing of it costs a request anything: its record is its only trace, and the gateways' boards are
written once a second.
"""

from tidegate.control.measures.records import Measures

__all__ = ["Measures"]
