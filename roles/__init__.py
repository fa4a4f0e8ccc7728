"""What runs, one file each. A new role is one file here and one stanza in config.yaml."""
