"""What names a result, what it was made from, and what came out: shared by every job."""
