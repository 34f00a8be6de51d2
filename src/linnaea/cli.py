"""The list of commands, each loaded when it is called; nothing else."""

import errno
import io
import os
import re
import shutil
import sys
import textwrap
import warnings

from linnaea import __version__, signals

# The imports take a tenth of a second.
with signals.end_without_traceback():
    from cyclopts import App, CoercionError, CycloptsError, MissingArgumentError, Parameter

    from linnaea.errors import LinnaeaError, printable
    from linnaea.text import command, command_line

app = App(
    name="linnaea",
    help="Train a picture classifier on your own labelled pictures, and measure how reliable it is.",
    version=__version__,
    version_flags=["--version"],
    # Ctrl-C is main's to answer: a run must be closed properly, and SIGTERM has another exit code.
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(show_default=False, negative=""),
)
# The first line of each command's docstring, repeated here so that `linnaea --help` need not load them all.
COMMANDS = {
    "train": "Train a network on labelled pictures and evaluate it on pictures that it has not seen.",
    "evaluate": "Compute a run's metrics again from its table of predictions, and draw its report again.",
    "predict": "Classify pictures with a trained network.",
    "compare": "Compare runs: one table, one page with overlaid graphs, and each pair's difference in words.",
    "open": "Open the page of a run in the browser.",
    "resume": "Continue a run that was stopped, to the result that it would have had.",
    "rerun": "Repeat a run, and report whether it is the same bit for bit, or what differs.",
    "report": "Draw the report of a run again, from its run folder alone.",
    "reproduce": "Repeat the original report's experiments and print the results beside its numbers.",
    "check": "Find a data set's problems before any training.",
    "relabel": "Write a new table of a data set, with corrected labels.",
    "settings": "List every setting of train: its option, its default, and the models that have it.",
    "recipes": "List the recipes that come with the package: linnaea train DATA --recipe NAME.",
    "describe": "Print a network's table as in papers: stages, sizes, parameters, multiply-adds.",
    "models": "List the networks that --model accepts: those auto chooses from, and others by short name.",
    "demo": "Train four networks on 5,000 real handwritten digits and compare them; no download.",
    "doctor": "Report what is installed, which devices can be used, and what is missing.",
}
for verb, summary in COMMANDS.items():
    app.command(
        f"linnaea.commands.{verb}:{verb}", name=verb, help=summary, sort_key=list(COMMANDS).index(verb)
    )
app.register_install_completion_command(help="Let the shell complete commands and options with Tab.")


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 could not, 2 usage, 130/143 stopped by a signal."""
    signals.end_properly()
    _quiet_pillow()
    if arguments is not None:
        return _run(list(arguments))
    _write_what_can_be_shown()
    warnings.showwarning = _tell_warning
    code = _run(sys.argv[1:])
    # As a process: a signal would only make noisy what is left.
    signals.ignore_interrupts()
    return code


def _write_what_can_be_shown() -> None:
    """Let files and pipes get UTF-8, and a console what it has letters for: what it lacks is written out.

    Windows gives a file the letters of its old code page, which ends a long command at the first other name.
    """
    for stream in (sys.stdout, sys.stderr):
        # None where there is no console at all, as under pythonw.
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def _tell_warning(message: Warning | str, *where: object, **more: object) -> None:
    """Show what a library or our own code warns of as a line, without the place in its source."""
    from linnaea.commands import terminal

    terminal.print_line("Note", " ".join(str(message).split()))


def _quiet_pillow() -> None:
    """Settle what Pillow has for the whole process only, which a program may do and a library may not."""
    # Read when Pillow is imported, which is later. It takes memory in blocks of 16 MiB, which glibc keeps for
    # the thread that freed them; what is above 32 MiB goes back to the system at once.
    os.environ.setdefault("PILLOW_BLOCK_SIZE", "64m")
    # It remarks on odd metadata and on large pictures by Python warnings, which would run through the
    # progress bar; what matters becomes an error when a picture is read. (catch_warnings is not safe in
    # threads.)
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _run(tokens: list[str]) -> int:
    """Run one command, and turn whatever ended it into a sentence and an exit code."""
    debug = "--debug" in tokens
    if debug:
        tokens.remove("--debug")
    if tokens[:1] == ["help"]:
        tokens = [*tokens[1:], "--help"]
    typed = command_line.set(printable(command("linnaea", *tokens)))
    try:
        app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _fail(*_asked_wrongly(error), 2)
    except LinnaeaError as error:
        if debug:
            raise
        return _fail(str(error), "", error.exit_code)
    except signals.Terminated:
        return 143
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output (head, say) has gone: no fault. stdout must not be flushed again.
        sys.stdout = None
        return 0
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    except Exception as error:
        if debug:
            raise
        return _fail(*_unexpected(error), 1)
    finally:
        command_line.reset(typed)
    return 0


def _asked_wrongly(error: CycloptsError) -> tuple[str, str]:
    """Return what was wrong, and what to do, about words that are no command."""
    # An option that a command does not list is taken for a setting; one without a value is refused before
    # anybody looks for the setting.
    name = (getattr(error, "keyword", None) or "").removeprefix("--").replace("-", "_")
    argument = error.argument if isinstance(error, MissingArgumentError) else None
    if argument is not None and argument.field_info.kind is argument.field_info.VAR_KEYWORD:
        from linnaea.settings import SETTINGS, unknown_setting

        if name not in SETTINGS:
            return unknown_setting(name), ""
    help = "Help: linnaea --help, or linnaea COMMAND --help."
    if isinstance(error, CoercionError) and error.token is not None and error.target_type in _NUMBERS:
        must, word = _NUMBERS[error.target_type], error.token
        return f"{word.keyword} must be {must}; received '{word.value}'.", help
    return f"{error}", help


_NUMBERS = {int: "an integer", float: "a number"}


def _unexpected(error: Exception) -> tuple[str, str]:
    """Return what was wrong, and what to do, about an error that no command expects."""
    if _is_full_memory(error):
        return (
            "There is not enough memory.",
            "Close other programs, or raise the limit that this process was given (ulimit -v, --memory).",
        )
    if isinstance(error, OSError) and not error.filename and error.errno in (errno.ENOSPC, errno.EFBIG):
        from linnaea.files import refusal

        return str(refusal("What is printed", error)), ""
    if isinstance(error, OSError) and error.filename:
        # Whatever wrote or read it (TensorBoard, say): a full disk, or a folder that may not be used.
        return (
            f"{error.filename} could not be used ({error.strerror}).",
            "Check that it is there, that you may read and write it, and that the disk has room.",
        )
    return f"An unexpected {type(error).__name__}: {error}.", "Repeat with --debug for the traceback."


def _is_full_memory(error: BaseException | None) -> bool:
    """Return whether memory was refused, perhaps to the loading of a library that others report on."""
    while error is not None:
        # The loader's own words, and Python's while it looks for a module: neither has an error of its own.
        if isinstance(error, MemoryError) or re.search(
            "failed to map segment|[Cc]annot allocate memory|error return without exception set", str(error)
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _fail(sentence: str, cure: str, code: int) -> int:
    # Names of files and classes stand in it, and may come from strangers.
    message = printable(f"Error: {sentence} {cure}".strip())
    if sys.stderr.isatty():
        # Between words; a path is copied whole, and may be longer than the line.
        width = max(shutil.get_terminal_size().columns, 40)
        message = textwrap.fill(
            message, width, subsequent_indent=" " * 7, break_long_words=False, break_on_hyphens=False
        )
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
