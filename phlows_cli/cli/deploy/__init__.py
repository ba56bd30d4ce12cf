"""Files that put a broker into service: units of supervisors, web servers' files."""
