"""The papers' own experiments: data, tables, rules of verdict, runs and their report."""
