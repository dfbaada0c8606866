"""What the platform needs on this machine, by lock: Python environments, Java artifacts, the page's scripts, a Java; and the doctor."""
