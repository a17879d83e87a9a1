"""The report: from a ledger and verdicts to one HTML page, its figures, and a text for Markdown.

``fa-audit report STUDY`` writes it.
"""

from fa_audit.report.writing import (
    Report,
    make_report,
    markdown_report,
    write_figure,
    write_report,
    write_reports,
)

__all__ = [
    "Report",
    "make_report",
    "markdown_report",
    "write_figure",
    "write_report",
    "write_reports",
]
