"""The one error type that says: the input is at fault, and here is where and how to mend it."""


class InputError(ValueError):
    """Bad input: the message says where, what came and what to do. The command line prints it and exits with 2."""
