"""The provider layer against servers that misbehave."""
