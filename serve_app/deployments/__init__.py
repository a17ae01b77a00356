"""Ray Serve deployments: processes, handles and options for the objects of the other packages."""
