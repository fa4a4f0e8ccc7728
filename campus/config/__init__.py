"""The configuration: what can be set, how it is read, and the messages if it is wrong.

A Config is complete, valid and never changes. Start with settings.py.

    settings.py     every setting of the core; those of a role are in roles/*.py
    stanza.py       what every group of settings has, and shared types
    config_file.py  loads the file, the environment and --set, or raises ConfigError with all faults
    validation.py   plain values as settings; a message for each fault
    schema.py       the JSON Schema of config.yaml
    strict_yaml.py  YAML without surprises
"""
