"""What a script compiled: recorded in the user's own processes, unchanged, and put together to a `ScriptTrace`."""
