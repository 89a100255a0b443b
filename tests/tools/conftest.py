from tests.policies import make_weights  # noqa: F401
