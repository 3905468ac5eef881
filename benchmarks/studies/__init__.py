"""Measurements that answered one question each; every module is a command of its own."""
