"""One file a verb: each is the Python call and the command. The only room that joins the others."""

from contextvars import ContextVar

command_line: ContextVar[str | None] = ContextVar("command_line", default=None)
"""What was typed, as a shell takes it; None where Python called."""
