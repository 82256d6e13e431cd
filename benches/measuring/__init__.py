"""What benches/run measures with: the programs that it starts, what it asks of them, and what it makes of the answers."""
