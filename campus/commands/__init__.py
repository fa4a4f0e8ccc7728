"""What a person calls by name, one file each: parse, do, print."""
