"""Fresh examples in every run; CANDOR_SEED repeats one, and hypothesis prints what failed."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "candor",
    max_examples=50,
    deadline=None,
    derandomize=False,
    print_blob=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("candor")
