"""Development sessions: `nox -l` lists them, `nox` runs tests, lint and types."""

import nox

nox.options.sessions = ["tests", "lint", "types"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

STUDIES = ["reproductions/lance_kieu_2026"]


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, side by side over the cores."""
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    session.install("-e", ".[lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Static types of src, strictly."""
    session.install("-e", ".[types]")
    session.run("mypy")


@nox.session(default=False)
def quick(session: nox.Session) -> None:
    """The whole chain on the stand-in images."""
    session.install("-e", ".")
    session.run("fa-audit", "quick", *session.posargs)


@nox.session(default=False)
def reproduce(session: nox.Session) -> None:
    """Run the published studies on real data; what the ledger holds is skipped."""
    session.install("-e", ".")
    for study in STUDIES:
        session.run("fa-audit", "run", study, *session.posargs)


@nox.session(default=False)
def judge(session: nox.Session) -> None:
    """Derive all verdicts from the committed ledgers; fails where one differs from the record."""
    session.install("-e", ".")
    for study in STUDIES:
        session.run("fa-audit", "judge", study, *session.posargs)
