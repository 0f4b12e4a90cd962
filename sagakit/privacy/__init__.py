"""Handles personal data as sealed texts.

A text is sealed where it enters the system, and opened in the adapter that hands it out. The
package imports only the errors and the bounded HTTP call.
"""
