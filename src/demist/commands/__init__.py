"""The sub-commands, one module each; a module imports torch only when its command runs."""
