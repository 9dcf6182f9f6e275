"""A model's gradient, compiled before it is asked for: its units by several processes at once, each by one of them."""
