"""The figures of a report, each a function of the material; none of them knows of the page."""
