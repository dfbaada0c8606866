"""Installer of locked dependencies: Python environments, Java artifacts, the page's scripts, a Java; and the doctor."""
