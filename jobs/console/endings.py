"""How a command ends: what it raised becomes a message on stderr, with what to do about it, and an exit code."""

from collections.abc import Callable

from cluster.faults import PartError, StartError, UnsharedError
from cluster.head_watch import check_head
from jobs.console import exit_codes
from jobs.console.messages import say
from jobs.console.progress import printable
from jobs.console.remedies import explain
from pipeline.errors import ConfigError, EarshotError


def run_to_exit_code(work: Callable[[], None], command: str) -> int:
    """Do the work of a command; give its exit code, one of `exit_codes`.

    Args:
        command: such as filter; "" where none was chosen.
    """
    try:
        work()
    except SystemExit as end:  # of --help, of a wrong option, of an interrupt, and of a command that is done
        if end.code == exit_codes.INTERRUPTED:
            try:
                check_head()
            except ConnectionError as error:  # the watch interrupted it, at work that needs no cluster
                _print_error(explain(error, command))
                return exit_codes.FAILED
            say("earshot: stopped. The same command goes on from here.", "warning")
        return end.code if isinstance(end.code, int) else exit_codes.FAILED
    except (ConfigError, ConnectionError, UnsharedError) as error:
        _print_error(explain(error, command))
        return exit_codes.FAILED if isinstance(error, StartError) else exit_codes.of_refusal()
    except exit_codes.PartialError as error:
        _print_error(str(error))
        return exit_codes.PARTIAL
    except (EarshotError, PartError, _schema_error()) as error:  # evaluated only for an error that is none of those
        _print_error(explain(error, command), getattr(error, "part", None))
        return exit_codes.FAILED
    except _remote_errors() as error:
        from pipeline.storage.files import advice

        _print_error(
            f"s3: {error}.{advice(error) or ' Check AWS_ENDPOINT_URL, credentials and the name of the bucket.'}"
        )
        return exit_codes.of_refusal()
    return exit_codes.DONE


def _print_error(text: str, part: str | None = None) -> None:
    """Print a message, which may contain names that others gave."""
    say("earshot: " + "\n".join(map(printable, text.split("\n"))), "error", part)


def _schema_error() -> type[Exception]:
    from schemas.fields import SchemaError

    return SchemaError


def _remote_errors() -> tuple[type[Exception], ...]:
    from pipeline.storage.files import remote_errors

    return remote_errors()
