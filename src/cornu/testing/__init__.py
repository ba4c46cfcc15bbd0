"""What proves a backend, or an extension, right."""
