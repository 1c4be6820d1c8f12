"""The frames of an attempt: watched, taken as they land, proven, waited for."""
