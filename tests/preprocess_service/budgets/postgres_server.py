"""The real PostgreSQL of the tests: the same as of the benchmarks."""

from benchmarks.postgres import FAST, PostgresServer, programs, running

__all__ = ["FAST", "PostgresServer", "programs", "running"]
