"""Why a request went as it did: its record, and what stood around it, in sentences."""
