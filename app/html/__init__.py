"""Values become HTML here, and only here. Nothing in this folder knows a database or a request."""
