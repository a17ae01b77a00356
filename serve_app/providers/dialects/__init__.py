"""What each vendor and family of models takes of a request."""
