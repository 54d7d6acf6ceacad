"""The service under load, beside what it is measured against."""
