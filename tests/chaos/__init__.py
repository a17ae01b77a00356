"""Kill parts of a running gateway under load, and see who notices."""
