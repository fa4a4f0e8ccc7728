"""The roles: what can run in this process, one file each. A role never imports another one.

To add a role, add a file here with NAME, START_ORDER, Settings, and `build(settings, config, registry)`,
which returns a campus.supervision.role.Role, and a section in config.yaml. Read `inventory.py` first.
"""
