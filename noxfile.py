"""Development sessions: `nox -l` lists them, `nox` runs tests, lint and types."""

import nox

nox.options.sessions = ["tests", "lint", "types"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

STUDIES = [
    "reproductions/lance_kieu_2026",
    "reproductions/boeshertz_2026",
    "reproductions/boeshertz_2026/cifar100",
]


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, side by side over the cores."""
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session(default=False)
def deep(session: nox.Session) -> None:
    """All tests with many more examples, drawn anew; no time limit."""
    session.install("-e", ".[test]")
    session.run(
        "pytest", "-n", "auto", "--hypothesis-profile=deep", "--timeout=0", *session.posargs
    )


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """The conformance checks on other implementations."""
    session.install("-e", ".[test]")
    # Their layers need PyTorch alone; what else the package asks for is a hundred packages.
    session.install("--no-deps", "biotorch==0.0.16")
    session.run("pytest", "tests/conformance/test_biotorch.py", *session.posargs)


@nox.session(default=False)
def cross(session: nox.Session) -> None:
    """CKA and effective rank against other packages."""
    session.install("-e", ".[test,cross]")
    session.run("pytest", "tests/metrics/test_cross_checks.py", *session.posargs)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """The report in headless Chromium; Debian: `apt install chromium` first."""
    session.install("-e", ".[test,browser]")
    session.run("pytest", "tests/report", *session.posargs)


@nox.session(default=False)
def mutations(session: nox.Session) -> None:
    """Print which checks catch which broken variant."""
    session.install("-e", ".[test]")
    session.chdir("tests")
    session.run("python", "-m", "mutations", *session.posargs)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Which lines of src the tests reach."""
    session.install("-e", ".[test]")
    report = ["--cov", "--cov-report=term-missing:skip-covered", "--cov-fail-under=95"]
    session.run("pytest", "-n", "auto", *report, *session.posargs)


@nox.session(default=False)
def minimums(session: nox.Session) -> None:
    """All tests with the lowest versions that pyproject.toml allows."""
    lowest = nox.project.load_toml("pyproject.toml")["project"]["dependencies"]
    session.install(*(dependency.replace(">=", "==") + ".*" for dependency in lowest))
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """fa-audit beside the plain loop: `nox -s bench -- --data DIR`."""
    session.install("-e", ".[test]")
    session.chdir("tests")
    session.run("python", "-m", "benchmarks.bench", *session.posargs)


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
