"""Where files are: a folder, an archive, a folder of archives."""
