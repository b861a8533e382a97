"""Errors a user can act on: each names what is wrong, where, and the remedy."""

from __future__ import annotations


class AtmoRepError(Exception):
    """Base of all errors that are the input's fault; the command line prints them without traceback."""


class ConfigError(AtmoRepError):
    """The configuration is refused; the message names key, value and remedy."""


class SourceError(AtmoRepError):
    """A source could not deliver what was asked for; the message names file or request, and field."""


class CredentialsError(SourceError):
    """A source wants a key that is not there, or of another form."""


class DataError(AtmoRepError):
    """Delivered data is not what the configuration says; the message names file, message and field."""


class IntegrityError(AtmoRepError):
    """An artefact on disk is incomplete, altered or of another configuration."""
