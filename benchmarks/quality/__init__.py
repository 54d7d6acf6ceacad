"""How good explanations are: faithfulness, warnings and localisation on real data."""
