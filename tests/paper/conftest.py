from tests.bandit_tables import *  # noqa: F403
