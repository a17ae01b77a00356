"""Python clients: a running gateway through its handle, an embedded one, and compatibility interfaces."""
