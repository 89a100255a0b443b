"""The paper's statements as checks over our own runs."""
