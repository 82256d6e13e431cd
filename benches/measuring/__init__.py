"""The modules of benches/run: it starts the programs, has them send requests, and reports the figures."""
