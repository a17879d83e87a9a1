"""The bundled study on the stand-in: study.toml and claims.toml, run by `fa-audit quick`."""
