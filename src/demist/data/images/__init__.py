"""Images from files: decoded, laid out in folders, described by tables, kept on the disk."""
