"""Bytes on the disk: whole or not there, and checked before they are believed."""
