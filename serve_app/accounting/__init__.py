"""What things cost: pure, in integer nano-dollars."""
