"""What is to be said about a model from its log-density's graph alone: findings, each with what to write instead."""
