"""Changes the gateway's pure core in one place at a time; what no test notices, no test guards."""
