"""The configuration: its keys, how it is read and checked, and the runs that it asks for."""
